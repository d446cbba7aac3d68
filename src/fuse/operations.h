// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <atomic>
#include <map>

#include "chunk/store.h"
#include "content/data_reader.h"
#include "fetch/fetcher.h"
#include "fuse/tree_view.h"
#include "util/metrics.h"
#include "util/sync.h"

namespace swarmfs::fuse {

struct Pending;

/// Userdata of the session: what the handlers need. They run on the reader threads.
struct Context {
  TreeView view;
  content::DataReader& reader;
  fetch::Fetcher& fetcher;
  const chunk::Store& store;
  util::Metrics::Counter& requests;
  util::Metrics::Counter& errors;
  std::atomic<std::chrono::milliseconds> fault_timeout;
  util::Sync<std::map<Pending*, std::shared_ptr<Pending>>> pending;  ///< reads not yet answered
};

/// The handlers for fuse_session_new.
fuse_lowlevel_ops operations();

/// READ: hits answered inline, misses when their bytes come.
void read(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, fuse_file_info*);
/// Answers the reads whose reader is being killed after a signal that it survived; to be called now
/// and then.
void let_go_of_dying(Context& context);
/// Answers all waiting reads with EIO; before the session ends.
void end_pending(Context& context);

}  // namespace swarmfs::fuse
