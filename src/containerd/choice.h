// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <string>

#include "chunk/layer_ref.h"
#include "containerd/runtime.h"
#include "oci/reference.h"

/// Where what containerd holds is from. Pure.
namespace swarmfs::containerd {

/// Whether the labels of a blob say that containerd fetched it from there:
/// "containerd.io/distribution.source.HOST" = "REPOSITORY,REPOSITORY". The host is without its
/// port.
bool came_from(const Labels& labels, const chunk::Origin& origin);

/// Whether the labels of a blob name another host than the origin's.
bool is_elsewhere_too(const Labels& labels, const chunk::Origin& origin);

/// The reference that an image's name is, as one to the manifest alone. The name must be confirmed
/// by labels (came_from). Empty: it is none.
std::optional<oci::Reference> reference_of(const std::string& name, const util::Digest& manifest);

}  // namespace swarmfs::containerd
