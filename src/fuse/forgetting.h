// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "image/image_library.h"

struct fuse_session;

namespace swarmfs::fuse {

/// Makes the kernel forget what it keeps of the image, whose node ids stay: names, attributes and
/// pages, of its merged tree and of its layers. Waits for pages that are being read, so not on a
/// thread that a read may wait for.
void forget_image(fuse_session* session, const image::Image& image);

}  // namespace swarmfs::fuse
