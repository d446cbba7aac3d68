// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <future>

#include "util/backoff.h"
#include "util/digest.h"
#include "util/error.h"
#include "util/file.h"
#include "util/metrics.h"
#include "util/once.h"
#include "util/timers.h"
#include "util/units.h"
#include "util/workers.h"

namespace swarmfs::util {
namespace {

using std::chrono::milliseconds;

TEST(Digest, is_what_sha256sum_prints) {
  EXPECT_EQ(Sha256::of(as_bytes("abc")).to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 hash;
  hash.update(as_bytes("a"));
  hash.update(as_bytes("bc"));
  EXPECT_EQ(hash.finish(), Sha256::of(as_bytes("abc")));
  EXPECT_EQ(hash.finish(), Sha256::of({}));
}

TEST(Digest, hmac_is_that_of_rfc_4231) {
  EXPECT_EQ(hmac_sha256(as_bytes("Jefe"), as_bytes("what do ya want for nothing?")).hex(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Digest, parses_only_what_it_prints) {
  const std::string good = Sha256::of({}).to_string();
  EXPECT_EQ(Digest::parse(good)->to_string(), good);
  for (std::string bad :
       {std::string("sha512:00"), good + "0", good.substr(0, 70), std::string("")})
    EXPECT_FALSE(Digest::parse(bad)) << bad;
  std::string upper = good;
  upper[10] = 'A';
  EXPECT_FALSE(Digest::parse(upper));
}

TEST(Units, sizes_are_read_and_printed) {
  const std::pair<const char*, uint64_t> table[] = {{"0", 0},
                                                    {"512", 512},
                                                    {"64KiB", 65536},
                                                    {"10GB", 10'000'000'000},
                                                    {"1.5 GiB", 3ull << 29},
                                                    {"4k", 4096}};
  for (auto [text, bytes] : table) EXPECT_EQ(parse_bytes(text), bytes) << text;
  for (const char* bad : {"", "GB", "-1", "3 apples", "1e30", "nan"})
    EXPECT_FALSE(parse_bytes(bad)) << bad;
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1500), "1.5 kB");
  EXPECT_EQ(human_bytes(240'000'000), "240 MB");
}

TEST(Units, base64_is_that_of_the_rfc) {
  const std::pair<const char*, const char*> table[] = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
  for (auto [plain, coded] : table) {
    EXPECT_EQ(to_base64(plain), coded);
    EXPECT_EQ(from_base64(coded), plain);
  }
  EXPECT_FALSE(from_base64("Z"));
  EXPECT_FALSE(from_base64("Zg!="));
}

TEST(Units, ranges_clamp_to_a_size) {
  EXPECT_EQ((ByteRange{5, 10}.clamp(8)), (ByteRange{5, 3}));
  EXPECT_EQ((ByteRange{9, 10}.clamp(8)), (ByteRange{8, 0}));
}

TEST(Backoff, doubles_is_capped_and_honours_retry_after) {
  const BackoffPolicy policy{milliseconds(200), milliseconds(1000)};
  EXPECT_EQ(retry_delay(policy, 1, 0), milliseconds(100));
  EXPECT_EQ(retry_delay(policy, 2, 0.5), milliseconds(300));
  EXPECT_EQ(retry_delay(policy, 9, 0), milliseconds(500));
  EXPECT_EQ(retry_delay(policy, 4'000'000'000u, 0.999), milliseconds(999));
  EXPECT_EQ(retry_delay(policy, 1, 0, milliseconds(5000)), milliseconds(5000));
}

TEST(Timers, run_in_order_of_their_time) {
  Timers timers;
  std::promise<std::string> done;
  std::string order;
  const auto now = std::chrono::steady_clock::now();
  auto second = timers.at(now + milliseconds(20), [&] { done.set_value(order + "b"); });
  auto first = timers.at(now + milliseconds(5), [&] { order += "a"; });
  EXPECT_EQ(done.get_future().get(), "ab");
}

TEST(Timers, repeat_until_they_are_cancelled_also_from_inside) {
  Timers timers;
  std::atomic<int> calls{0};
  std::promise<void> thrice;
  Operation tick = timers.every(milliseconds(1), [&] {
    if (++calls == 3) thrice.set_value();
  });
  thrice.get_future().wait();
  tick.cancel();
  const int then = calls;
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(calls, then);
  std::promise<void> once;
  Operation self;
  std::mutex mutex;
  {
    const std::lock_guard hold(mutex);
    self = timers.every(milliseconds(1), [&] {
      const std::lock_guard inside(mutex);
      self.cancel();
      once.set_value();
    });
  }
  once.get_future().wait();
}

TEST(Timers, a_dead_operation_never_calls) {
  Timers timers;
  std::atomic<bool> called = false;
  {
    auto dropped = timers.after(milliseconds(1), [&] { called = true; });
    dropped.cancel();
  }
  std::promise<void> later;
  auto after = timers.after(milliseconds(10), [&] { later.set_value(); });
  later.get_future().wait();
  EXPECT_FALSE(called);
}

TEST(Workers, urgent_jobs_overtake) {
  Workers workers(1);
  std::promise<void> gate, done;
  std::string order;
  workers.post(Workers::Urgency::normal, [&] { gate.get_future().wait(); });
  workers.post(Workers::Urgency::normal, [&] {
    order += "n";
    done.set_value();
  });
  workers.post(Workers::Urgency::urgent, [&] { order += "u"; });
  gate.set_value();
  done.get_future().wait();
  EXPECT_EQ(order, "un");
}

TEST(File, is_replaced_whole) {
  const auto path =
      std::filesystem::temp_directory_path() / ("swarmfs-file-" + std::to_string(getpid()));
  EXPECT_FALSE(read_file(path));
  write_file_durably(path, as_bytes("one"));
  write_file_durably(path, as_bytes("two"), 0600);
  EXPECT_EQ(read_text(path), "two");
  std::filesystem::remove(path);
  EXPECT_THROW(write_file_durably("/nonexistent/x", {}), std::exception);
}

TEST(File, without_a_size_is_read_to_its_end) {
  EXPECT_EQ(read_text("/proc/sys/kernel/ostype"), "Linux\n");
  const auto bytes = read_file("/proc/self/maps");  // longer than one read
  ASSERT_TRUE(bytes);
  EXPECT_GT(bytes->size(), 4096U);
  EXPECT_EQ(bytes->back(), static_cast<Bytes::value_type>('\n'));
  const auto path =
      std::filesystem::temp_directory_path() / ("swarmfs-empty-" + std::to_string(getpid()));
  write_file_durably(path, {});
  EXPECT_EQ(read_text(path), "");
  write_file_durably(path, as_bytes(std::string(10'000, 'x')));
  EXPECT_EQ(read_text(path), std::string(10'000, 'x'));
  std::filesystem::remove(path);
}

TEST(Once, is_tried_without_waiting_for_who_is_at_it) {
  Once<int, int> once;
  std::promise<void> begun, go_on;
  auto first = std::async(std::launch::async, [&] {
    return once.run(1, "", [&]() -> Outcome<int> {
      begun.set_value();
      go_on.get_future().wait();
      return 7;
    });
  });
  begun.get_future().wait();
  const auto other = [](int value) { return [value]() -> Outcome<int> { return value; }; };
  EXPECT_FALSE(once.try_run(1, "", other(8)));
  EXPECT_EQ(**once.try_run(2, "", other(9)), 9);
  go_on.set_value();
  EXPECT_EQ(*first.get(), 7);
  EXPECT_EQ(**once.try_run(1, "", other(8)), 8);
  const auto failed = once.try_run(1, "alas: ", []() -> Outcome<int> { throw Error("no"); });
  ASSERT_TRUE(failed && !*failed);
  EXPECT_EQ(failed->failure().message, "alas: no");
}

TEST(Metrics, come_out_as_exposition_text) {
  Metrics metrics;
  metrics.counter("swarmfs_bytes_total", "Bytes", {{"source", "cache"}}).add(3);
  metrics.counter("swarmfs_bytes_total", "Bytes", {{"source", "cache"}}).add(4);
  metrics.gauge("swarmfs_open", "Open").set(2);
  metrics.latency("swarmfs_fault_seconds", "Faults").observe(0.2);
  const std::string text = metrics.text();
  EXPECT_NE(text.find("swarmfs_bytes_total{source=\"cache\"} 7"), std::string::npos) << text;
  EXPECT_NE(text.find("swarmfs_open 2"), std::string::npos);
  EXPECT_NE(text.find("swarmfs_fault_seconds_count 1"), std::string::npos);
}

}  // namespace
}  // namespace swarmfs::util
