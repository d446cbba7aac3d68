// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// Signals at readers whose bytes have not come: through the kernel, and with requests of our own.

#include <linux/fuse.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <random>
#include <thread>

#include "front_fixture.h"
#include "fuse/operations.h"
#include "reader_process.h"

namespace swarmfs::fuse {
namespace {

template <class Condition>
void wait_until(Condition condition) {
  while (!condition()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

char state_of(pid_t thread) {
  std::ifstream stat("/proc/" + std::to_string(thread) + "/stat");
  std::string text;
  std::getline(stat, text);
  return text.at(text.rfind(')') + 2);
}

class InterruptTest : public FrontTest {};

TEST_F(InterruptTest, a_signal_breaks_no_page_fault) {
  if (IsSkipped()) return;
  mount();
  ReaderProcess reader(data_file());
  std::optional<char> got;
  std::thread touching([&] { got = reader.touch(0); });
  wait_until([&] { return source_.unanswered() > 0; });
  reader.signal(SIGUSR1);
  // The kernel tells us of the signal before it goes on waiting, uninterruptibly.
  wait_until([&] { return state_of(reader.pid()) == 'D'; });
  for (int i = 0; i < 10; ++i)
    EXPECT_TRUE(std::filesystem::exists(directory_.path() / "tree" / "layers" / digest_.hex()));
  source_.keep_silent(false);
  touching.join();
  ASSERT_TRUE(got) << "the fault failed";
  EXPECT_EQ(*got, data_[0]);
}

TEST_F(InterruptTest, who_is_killed_waits_for_nobody) {
  if (IsSkipped()) return;
  mount();
  for (int i = 0; i < 20; ++i) {
    ReaderProcess reader(data_file(), i * kBlock);
    if (i % 2) wait_until([&] { return state_of(reader.pid()) == 'S'; });
    EXPECT_TRUE(WIFSIGNALED(reader.die()));
  }
  // What they asked for is fetched all the same.
  source_.keep_silent(false);
  EXPECT_EQ(ReaderProcess(data_file()).touch(kBlock), data_[kBlock]);
}

// The kernel tells of the first signal alone.
TEST_F(InterruptTest, who_is_killed_after_a_signal_that_it_survived_waits_for_nobody) {
  if (IsSkipped()) return;
  mount();
  for (int i = 0; i < 3; ++i) {
    ReaderProcess reader(data_file(), i * kBlock);
    wait_until([&] { return state_of(reader.pid()) == 'S'; });
    reader.signal(SIGUSR1);
    wait_until([&] { return state_of(reader.pid()) == 'D'; });
    EXPECT_TRUE(WIFSIGNALED(reader.die()));
  }
}

TEST_F(InterruptTest, a_storm_of_signals_while_the_session_ends) {
  if (IsSkipped()) return;
  mount();
  const size_t pages = data_.size() / kPage;
  std::atomic<bool> ending{false};
  std::atomic<unsigned> touched{0}, wrong{0}, failed{0};
  std::deque<ReaderProcess> readers;
  for (unsigned i = 0; i < 6; ++i) readers.emplace_back(data_file());
  std::vector<std::thread> touching;
  for (unsigned seed = 0; seed < readers.size(); ++seed)
    touching.emplace_back([&, seed] {
      std::mt19937 random(seed);
      while (!ending) {
        const size_t offset = random() % pages * kPage;
        const auto byte = readers[seed].touch(offset);
        if (byte && *byte != data_[offset]) ++wrong;
        if (!byte && !ending) ++failed;
        ++touched;
        std::this_thread::sleep_for(std::chrono::microseconds(200));  // most pages are there soon
      }
    });
  std::thread speaker([&] {
    while (!ending) {
      source_.speak_once();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  std::mt19937 random(99);
  std::deque<ReaderProcess> dying;
  for (unsigned round = 0; round < 60 || touched < 200; ++round) {
    readers[random() % readers.size()].signal(SIGUSR1);
    dying.emplace_back(data_file(), random() % pages * kPage);
    if (round % 2) dying.back().signal(SIGUSR1);
    if (dying.size() < 4) continue;
    dying.front().die();
    dying.pop_front();
  }
  ending = true;
  for (const auto& one : dying) one.signal(SIGKILL);
  fetcher_->stop();
  front_.reset();
  dying.clear();
  for (auto& thread : touching) thread.join();
  speaker.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(failed, 0u);
}

/// A session whose kernel is the test.
class SessionTest : public FrontTest {
 protected:
  struct Reply {
    int error;
    std::string bytes;
  };

  void open_session() {
    context_.reset(new Context{TreeView(*images_),
                               *reader_,
                               *fetcher_,
                               *cache_,
                               metrics_.counter("requests", "r"),
                               metrics_.counter("errors", "e"),
                               std::chrono::milliseconds(kForever),
                               {}});
    std::string name = "swarmfs";
    std::string options = "-omax_read=1048576";
    char* words[] = {name.data(), options.data()};
    fuse_args arguments = FUSE_ARGS_INIT(2, words);
    const auto handlers = operations();
    session_ = fuse_session_new(&arguments, &handlers, sizeof handlers, &*context_);
    fuse_opt_free_args(&arguments);
    ASSERT_TRUE(session_);
    fuse_custom_io io{};
    io.read = [](int, void*, size_t, void*) -> ssize_t { return -1; };
    io.writev = &take_reply;
    instance_ = this;
    ASSERT_EQ(fuse_session_custom_io(session_, &io, ::eventfd(0, EFD_CLOEXEC)), 0);
    fuse_init_in init{};
    init.major = FUSE_KERNEL_VERSION;
    init.minor = FUSE_KERNEL_MINOR_VERSION;
    init.max_readahead = 1 << 20;
    send(FUSE_INIT, 1, 0, 0, init);
  }
  void close_session() {
    if (!session_) return;
    end_pending(*context_);
    fuse_session_destroy(std::exchange(session_, nullptr));
  }
  void TearDown() override {
    close_session();
    FrontTest::TearDown();
  }

  template <class Body>
  void send(uint32_t opcode, uint64_t unique, uint64_t node, pid_t pid, const Body& body) {
    struct {
      fuse_in_header header{};
      Body body;
    } message;
    message.header.len = sizeof message;
    message.header.opcode = opcode;
    message.header.unique = unique;
    message.header.nodeid = node;
    message.header.pid = static_cast<uint32_t>(pid);
    message.body = body;
    fuse_buf buffer{};
    buffer.size = sizeof message;
    buffer.mem = &message;
    fuse_session_process_buf(session_, &buffer);
  }
  void send_read(uint64_t unique, uint64_t offset, pid_t pid) {
    const TreeView view(*images_);
    const auto layer = view.look_up(NodeId::of(Fixed::layers), digest_.hex());
    const auto diff = view.look_up(*layer.node, "diff");
    const auto file = view.look_up(*diff.node, "data");
    fuse_read_in read{};
    read.offset = offset;
    read.size = kPage;
    send(FUSE_READ, unique, file.node->number(), pid, read);
  }
  void send_interrupt(uint64_t of) { send(FUSE_INTERRUPT, of | 1, 0, 0, fuse_interrupt_in{of}); }

  [[nodiscard]] std::vector<Reply> replies(uint64_t unique) const {
    auto all = replies_.lock();
    const auto found = all->find(unique);
    return found == all->end() ? std::vector<Reply>() : found->second;
  }
  std::string wait_for_bytes(uint64_t unique) {
    wait_until([&] { return !replies(unique).empty(); });
    return replies(unique).front().bytes;
  }
  /// A process that is no more.
  static pid_t dead() {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    ::waitpid(child, nullptr, 0);
    return child;
  }

  std::unique_ptr<Context> context_;

 private:
  static ssize_t take_reply(int, iovec* pieces, int count, void*) {
    std::string all;
    for (int i = 0; i < count; ++i)
      all.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    fuse_out_header header{};
    std::memcpy(&header, all.data(), sizeof header);
    (*instance_->replies_.lock())[header.unique].push_back(
        {header.error, all.substr(sizeof header)});
    return static_cast<ssize_t>(all.size());
  }

  static inline SessionTest* instance_ = nullptr;
  fuse_session* session_ = nullptr;
  mutable util::Sync<std::map<uint64_t, std::vector<Reply>>> replies_;
};

TEST_F(SessionTest, an_interrupt_that_comes_before_its_read_is_answered_once) {
  if (IsSkipped()) return;
  open_session();
  send_interrupt(42);
  send_read(42, 0, dead());
  ASSERT_EQ(replies(42).size(), 1u);
  EXPECT_EQ(replies(42)[0].error, -EINTR);
}

TEST_F(SessionTest, an_interrupt_that_comes_later_is_answered_once) {
  if (IsSkipped()) return;
  open_session();
  const pid_t reader = dead();
  send_read(42, 0, reader);
  EXPECT_TRUE(replies(42).empty());
  send_interrupt(42);
  ASSERT_EQ(replies(42).size(), 1u);
  EXPECT_EQ(replies(42)[0].error, -EINTR);
  send_read(44, 0, reader);  // joins the fetch that went on
  source_.keep_silent(false);
  EXPECT_EQ(wait_for_bytes(44), data_.substr(0, kPage));
  EXPECT_EQ(replies(42).size(), 1u);
}

TEST_F(SessionTest, a_reader_that_lives_gets_its_bytes_whenever_the_interrupt_comes) {
  if (IsSkipped()) return;
  open_session();
  send_interrupt(42);
  send_read(42, 0, ::getpid());
  send_read(44, kBlock, ::getpid());
  send_interrupt(44);
  EXPECT_TRUE(replies(42).empty());
  EXPECT_TRUE(replies(44).empty());
  source_.keep_silent(false);
  EXPECT_EQ(wait_for_bytes(42), data_.substr(0, kPage));
  EXPECT_EQ(wait_for_bytes(44), data_.substr(kBlock, kPage));
}

TEST_F(SessionTest, a_reader_that_is_killed_after_its_interrupt_is_let_go) {
  if (IsSkipped()) return;
  open_session();
  const pid_t reader = ::fork();
  if (reader == 0) {
    ::pause();
    ::_exit(0);
  }
  send_read(42, 0, reader);
  send_interrupt(42);
  let_go_of_dying(*context_);
  EXPECT_TRUE(replies(42).empty());
  ::kill(reader, SIGKILL);
  ::waitpid(reader, nullptr, 0);
  let_go_of_dying(*context_);
  let_go_of_dying(*context_);
  ASSERT_EQ(replies(42).size(), 1u);
  EXPECT_EQ(replies(42)[0].error, -EINTR);
}

TEST_F(SessionTest, what_still_waits_at_the_end_is_an_error) {
  if (IsSkipped()) return;
  open_session();
  send_read(42, 0, ::getpid());
  close_session();
  ASSERT_EQ(replies(42).size(), 1u);
  EXPECT_EQ(replies(42)[0].error, -EIO);
}

// Reads, their interrupts and their bytes on threads of their own, in every order.
TEST_F(SessionTest, each_read_of_a_storm_is_answered_once) {
  if (IsSkipped()) return;
  open_session();
  source_.keep_silent(false);
  constexpr uint64_t kReads = 3000;
  const pid_t reader = dead();
  std::atomic<uint64_t> next{1}, sent{0};
  std::vector<std::thread> kernel;
  kernel.emplace_back([&] {
    for (uint64_t i = 1; i <= kReads; ++i) {
      next = i;
      send_read(i * 2, i % 256 * kBlock, i % 3 ? reader : ::getpid());
      sent = i;
    }
  });
  kernel.emplace_back([&] {
    std::mt19937 random(1);
    while (sent < kReads) send_interrupt((next + random() % 2) * 2);
  });
  for (auto& thread : kernel) thread.join();
  close_session();
  for (uint64_t i = 1; i <= kReads; ++i) {
    const auto answers = replies(i * 2);
    ASSERT_EQ(answers.size(), 1u) << i;
    const int error = answers[0].error;
    EXPECT_TRUE(error == 0 || error == -EIO || (error == -EINTR && i % 3)) << error;
    EXPECT_EQ(answers[0].bytes, error ? "" : data_.substr(i % 256 * kBlock, kPage));
  }
}

}  // namespace
}  // namespace swarmfs::fuse

// libfuse keeps an interrupt whose read is answered until the next request; a session's last ones
// are not freed.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libfuse3.so";
}
