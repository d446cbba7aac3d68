// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fuse/operations.h"

#include <sys/statvfs.h>

#include <algorithm>

#include "util/log.h"

namespace swarmfs::fuse {

namespace {

constexpr double kForever = 1e9;

Context& context_of(fuse_req_t request) {
  return *static_cast<Context*>(fuse_req_userdata(request));
}

/// The one place where exceptions of a handler become errno.
template <class Call>
void answer(fuse_req_t request, Call call) {
  try {
    context_of(request).requests.add();
    call(context_of(request).view);
  } catch (const std::exception& error) {
    util::log::error("fuse: {}", error.what());
    fuse_reply_err(request, EIO);
  }
}

fuse_entry_param entry_of(NodeId node, const struct stat& attributes, bool dynamic) {
  fuse_entry_param entry{};
  entry.ino = node.number();
  entry.attr = attributes;
  entry.attr_timeout = kForever;
  entry.entry_timeout = dynamic ? 0 : kForever;
  return entry;
}

void init(void*, fuse_conn_info* connection) {
  const auto want = [&](unsigned flag, bool on) {
    if (on && (connection->capable & flag))
      connection->want |= flag;
    else
      connection->want &= ~flag;
  };
  // A successor must ask for exactly the same: the kernel remembers.
  want(FUSE_CAP_ASYNC_READ, true);
  want(FUSE_CAP_ASYNC_DIO, true);
  want(FUSE_CAP_PARALLEL_DIROPS, true);
  want(FUSE_CAP_CACHE_SYMLINKS, true);
  want(FUSE_CAP_READDIRPLUS, true);
  want(FUSE_CAP_READDIRPLUS_AUTO, false);
  want(FUSE_CAP_AUTO_INVAL_DATA, false);
  want(FUSE_CAP_SPLICE_READ, false);
  want(FUSE_CAP_SPLICE_WRITE, false);
  want(FUSE_CAP_SPLICE_MOVE, false);
  want(FUSE_CAP_NO_OPEN_SUPPORT, true);
  want(FUSE_CAP_NO_OPENDIR_SUPPORT, true);
  connection->max_read = 1 << 20;
  connection->max_readahead = 1 << 20;
  connection->max_background = 64;
  connection->congestion_threshold = 48;
}

void look_up(fuse_req_t request, fuse_ino_t parent, const char* name) {
  answer(request, [&](TreeView& view) {
    const NodeId directory = NodeId::from(parent);
    const auto found = view.look_up(directory, name);
    const auto attributes = found.node ? view.attributes(*found.node) : std::nullopt;
    if (attributes) {
      const auto entry = entry_of(*found.node, *attributes, TreeView::is_dynamic(directory));
      return (void)fuse_reply_entry(request, &entry);
    }
    // Only what cannot change is to be remembered: not what an image that comes back will have.
    if (found.node || !found.known) return (void)fuse_reply_err(request, ESTALE);
    if (TreeView::is_dynamic(directory)) return (void)fuse_reply_err(request, ENOENT);
    const auto nothing = entry_of(NodeId{}, {}, false);
    fuse_reply_entry(request, &nothing);
  });
}

void forget(fuse_req_t request, fuse_ino_t, uint64_t) {
  fuse_reply_none(request);
}

void get_attributes(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  answer(request, [&](TreeView& view) {
    const auto attributes = view.attributes(NodeId::from(node));
    if (!attributes) return (void)fuse_reply_err(request, ESTALE);
    fuse_reply_attr(request, &*attributes, kForever);
  });
}

void read_link(fuse_req_t request, fuse_ino_t node) {
  answer(request, [&](TreeView& view) {
    const auto target = view.symlink_target(NodeId::from(node));
    if (!target) return (void)fuse_reply_err(request, EINVAL);
    fuse_reply_readlink(request, target->c_str());
  });
}

/// Cookies: 1 after ".", 2 after "..", then one more per name.
void list(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, bool plus) {
  answer(request, [&](TreeView& view) {
    const NodeId directory = NodeId::from(number);
    std::vector<char> buffer(size);
    size_t used = 0;
    auto cookie = offset;
    const auto add = [&](const std::string& name, NodeId node) {
      ++cookie;
      const auto attributes = view.attributes(node);
      if (!attributes) return true;
      auto entry = entry_of(node, *attributes, TreeView::is_dynamic(directory));
      if (cookie <= 2) entry.ino = 0;
      char* place = buffer.data() + used;
      const size_t needed =
          plus ? fuse_add_direntry_plus(request, place, size - used, name.c_str(), &entry, cookie)
               : fuse_add_direntry(request, place, size - used, name.c_str(), &*attributes, cookie);
      if (needed > size - used) return false;
      used += needed;
      return true;
    };
    if (!view.attributes(directory)) return (void)fuse_reply_err(request, ESTALE);
    const bool more =
        (cookie > 0 || add(".", directory)) && (cookie > 1 || add("..", view.parent(directory)));
    if (more) view.list(directory, static_cast<size_t>(cookie) - 2, add);
    fuse_reply_buf(request, buffer.data(), used);
  });
}

void read_directory(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset,
                    fuse_file_info*) {
  list(request, node, size, offset, false);
}
void read_directory_plus(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset,
                         fuse_file_info*) {
  list(request, node, size, offset, true);
}

// "No such call" once: from then on the kernel opens without asking and keeps its caches.
void open(fuse_req_t request, fuse_ino_t, fuse_file_info*) {
  fuse_reply_err(request, ENOSYS);
}

void reply_sized(fuse_req_t request, std::string_view value, size_t size) {
  if (size == 0)
    fuse_reply_xattr(request, value.size());
  else if (size < value.size())
    fuse_reply_err(request, ERANGE);
  else
    fuse_reply_buf(request, value.data(), value.size());
}

void get_xattr(fuse_req_t request, fuse_ino_t node, const char* name, size_t size) {
  answer(request, [&](TreeView& view) {
    for (const auto& [key, value] : view.xattrs(NodeId::from(node)))
      if (key == name) return reply_sized(request, value, size);
    fuse_reply_err(request, ENODATA);
  });
}

void list_xattrs(fuse_req_t request, fuse_ino_t node, size_t size) {
  answer(request, [&](TreeView& view) {
    std::string all;
    for (const auto& [key, value] : view.xattrs(NodeId::from(node))) all += key + '\0';
    reply_sized(request, all, size);
  });
}

void statistics(fuse_req_t request, fuse_ino_t) {
  answer(request, [&](TreeView&) {
    constexpr uint64_t kUnit = 4096;
    const auto usage = context_of(request).store.usage();
    struct statvfs facts {};
    facts.f_bsize = facts.f_frsize = kUnit;
    facts.f_namemax = 255;
    facts.f_blocks = usage.quota / kUnit;
    facts.f_bfree = facts.f_bavail = (usage.quota - std::min(usage.bytes, usage.quota)) / kUnit;
    fuse_reply_statfs(request, &facts);
  });
}

}  // namespace

fuse_lowlevel_ops operations() {
  fuse_lowlevel_ops made{};
  made.init = init;
  made.lookup = look_up;
  made.forget = forget;
  made.getattr = get_attributes;
  made.readlink = read_link;
  made.open = open;
  made.opendir = open;
  made.read = read;
  made.readdir = read_directory;
  made.readdirplus = read_directory_plus;
  made.getxattr = get_xattr;
  made.listxattr = list_xattrs;
  made.statfs = statistics;
  return made;
}

}  // namespace swarmfs::fuse
