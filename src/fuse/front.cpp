// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fuse/front.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include <fstream>
#include <thread>

#include "fuse/forgetting.h"
#include "fuse/operations.h"
#include "util/error.h"
#include "util/log.h"
#include "util/unique_fd.h"

namespace swarmfs::fuse {

namespace fs = std::filesystem;

namespace {

/// How often dying readers are looked for.
constexpr std::chrono::milliseconds kLook{500};

}  // namespace

bool detach_if_dead(const fs::path& directory) {
  struct statfs facts {};  // not stat: attributes that the kernel keeps would answer it
  if (::statfs(directory.c_str(), &facts) == 0 || errno != ENOTCONN) return false;
  util::log::info("fuse: {} is a mount whose server is gone; it is detached", directory.string());
  return ::umount2(directory.c_str(), MNT_DETACH) == 0;
}

struct Front::State {
  State(FrontOptions chosen, image::ImageLibrary& its_images, content::DataReader& reader,
        fetch::Fetcher& fetcher, const chunk::Store& store, util::Timers& timers,
        util::Metrics& metrics)
      : options(std::move(chosen)),
        images(its_images),
        context{TreeView(its_images),
                reader,
                fetcher,
                store,
                metrics.counter("swarmfs_fuse_requests_total", "Requests of the kernel"),
                metrics.counter("swarmfs_fuse_errors_total", "Reads that ended in an error"),
                options.fault_timeout,
                {}},
        stop(::eventfd(0, EFD_CLOEXEC)) {
    while (detach_if_dead(options.mount_point)) {
    }
    fs::create_directories(options.mount_point);
    mount();
    std::vector<util::UniqueFd> waiting;
    for (unsigned i = 0; i < options.threads; ++i) waiting.push_back(wait_set());
    for (auto& set : waiting)
      threads.emplace_back([this, set = std::move(set)] { serve(set.get()); });
    set_read_ahead();
    looking = timers.every(kLook, [this] { let_go_of_dying(context); });
    changes =
        images.on_change({[this] { forget_listings(); },
                          [this](const image::Image& image) { forget_image(session, image); }});
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  ~State() {
    changes.cancel();
    looking.cancel();
    fuse_session_exit(session);
    ::eventfd_write(stop.get(), 1);
    for (auto& thread : threads) thread.join();
    end_pending(context);
    // Copies of the mount in other namespaces may live on: closing the descriptor ends them too.
    fuse_session_unmount(session);
    fuse_session_destroy(session);
  }

  void mount() {
    std::string arguments =
        "-oallow_other,default_permissions,ro,dev,suid,fsname=swarmfs,subtype=swarmfs,max_read="
        "1048576";
    std::string name = "swarmfs";
    char* vector[] = {name.data(), arguments.data()};
    fuse_args args = FUSE_ARGS_INIT(2, vector);
    const auto handlers = operations();
    session = fuse_session_new(&args, &handlers, sizeof handlers, &context);
    fuse_opt_free_args(&args);
    if (!session) throw util::Error("FUSE does not start");
    if (fuse_session_mount(session, options.mount_point.c_str())) {
      fuse_session_destroy(session);
      throw util::Error("cannot mount on " + options.mount_point.string() +
                        " (is /dev/fuse there, are we root?)");
    }
    const int fd = fuse_session_fd(session);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  }

  void serve(int waiting) {
    fuse_buf buffer{};
    while (!fuse_session_exited(session)) {
      const int got = fuse_session_receive_buf(session, &buffer);
      epoll_event event{};
      if (got > 0)
        fuse_session_process_buf(session, &buffer);
      else if (got != -EAGAIN && got != -EINTR)
        break;
      else
        ::epoll_wait(waiting, &event, 1, -1);
    }
    ::free(buffer.mem);
  }

  /// A request wakes one thread, the end all of them.
  util::UniqueFd wait_set() {
    util::UniqueFd made(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event request{EPOLLIN | EPOLLEXCLUSIVE, {}}, end{EPOLLIN, {}};
    if (::epoll_ctl(made.get(), EPOLL_CTL_ADD, fuse_session_fd(session), &request) ||
        ::epoll_ctl(made.get(), EPOLL_CTL_ADD, stop.get(), &end))
      throw util::SysError("epoll on the FUSE device");
    return made;
  }

  void set_read_ahead() {
    struct stat facts {};
    if (::stat(options.mount_point.c_str(), &facts))
      throw util::SysError("stat " + options.mount_point.string());
    std::ofstream("/sys/class/bdi/" + std::to_string(major(facts.st_dev)) + ":" +
                  std::to_string(minor(facts.st_dev)) + "/read_ahead_kb")
        << 1024;
  }

  void forget_listings() {
    for (const Fixed fixed : {Fixed::sha256, Fixed::layers, Fixed::images})
      fuse_lowlevel_notify_inval_inode(session, NodeId::of(fixed).number(), 0, 0);
  }

  const FrontOptions options;
  image::ImageLibrary& images;
  Context context;
  util::UniqueFd stop;
  fuse_session* session = nullptr;
  std::vector<std::thread> threads;
  util::Operation looking, changes;
};

Front::Front(FrontOptions options, image::ImageLibrary& images, content::DataReader& reader,
             fetch::Fetcher& fetcher, const chunk::Store& store, util::Timers& timers,
             util::Metrics& metrics)
    : state_(std::make_unique<State>(std::move(options), images, reader, fetcher, store, timers,
                                     metrics)) {}
Front::~Front() = default;

void Front::set_fault_timeout(std::chrono::milliseconds timeout) {
  state_->context.fault_timeout = timeout;
}

}  // namespace swarmfs::fuse
