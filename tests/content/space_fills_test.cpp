// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/space_fills.h"

#include <gtest/gtest.h>

#include <deque>
#include <future>
#include <thread>

#include "support/tar_maker.h"
#include "util/sync.h"

namespace swarmfs::content {
namespace {

using chunk::BlockRange;
using util::ByteRange;
using util::Fault;
using util::Outcome;

constexpr uint64_t kSize = (3 << 20) + 12'345;
const std::string kSpace = support::noise(kSize, 5);

/// A stored space in memory that keeps what it is given, or nothing.
class FakeSpace final : public chunk::StoredLayer {
 public:
  [[nodiscard]] const util::Digest& digest() const override { return digest_; }
  [[nodiscard]] uint64_t size() const override { return kSize; }
  [[nodiscard]] bool has(BlockRange blocks) const override {
    return chunk::bytes_of(blocks, kSize).end() <= *kept_.lock();
  }
  [[nodiscard]] std::vector<BlockRange> missing(BlockRange) const override { return {}; }
  [[nodiscard]] uint64_t bytes_present() const override { return *kept_.lock(); }
  bool try_read_now(ByteRange, std::byte*) override { return false; }
  void read(ByteRange range, OnRead on_read) override {
    if (range.end() > *kept_.lock()) return on_read(util::Failure{Fault::not_found, "absent"});
    on_read(util::SharedBytes({}, util::as_bytes(kSpace).subspan(range.offset, range.length)));
  }
  void write(chunk::BlockIndex first, util::SharedBytes bytes, chunk::Class,
             OnWritten on_written) override {
    const uint64_t at = static_cast<uint64_t>(first) * chunk::kBlockSize;
    EXPECT_EQ(util::as_text(bytes.view()), std::string_view(kSpace).substr(at, bytes.size()));
    if (full) return on_written(util::Failure{Fault::no_space, "the quota is full"});
    EXPECT_EQ(*kept_.lock(), at);
    *kept_.lock() = at + bytes.size();
    on_written(util::Done{});
  }
  void trust(std::shared_ptr<const chunk::HashTree>) override {}
  void suspect(BlockRange) override {}
  [[nodiscard]] bool verified() const override { return false; }
  void mark_verified() override {}
  void discard() override { *kept_.lock() = 0; }
  void set_pinned(bool) override {}

  std::atomic<bool> full = false;

 private:
  const util::Digest digest_ = util::Sha256::of({});
  util::Sync<uint64_t> kept_;  ///< from the front
};

/// What all sources of one space do, as the test says.
class Script {
 public:
  /// So many bytes more.
  void give(uint64_t bytes) { push({bytes, {}}); }
  void finish(Outcome<util::Done> outcome) { push({0, std::move(outcome)}); }
  [[nodiscard]] size_t opened() const { return state_.lock()->opened; }
  /// Of all that was said the sources have heard everything.
  void await_heard() {
    auto state = state_.lock();
    state.wait(changed_, [&] { return state->steps.empty() && !state->busy; });
  }
  void await_opened(size_t times) {
    auto state = state_.lock();
    state.wait(changed_, [&] { return state->opened >= times; });
  }
  SpaceFills::Open open() {
    return [this] { return std::make_unique<Source>(*this); };
  }

 private:
  struct Step {
    uint64_t bytes = 0;
    std::optional<Outcome<util::Done>> end;
  };
  struct State {
    std::deque<Step> steps;
    size_t opened = 0;
    bool busy = false;
    bool stopped = false;
  };
  class Source final : public SpaceSource {
   public:
    explicit Source(Script& script) : script_(script) {
      ++script_.state_.lock()->opened;
      script_.changed_.notify_all();
    }
    Outcome<util::Done> run(const Feed& feed) override {
      uint64_t at = 0;
      for (;;) {
        Step step;
        {
          auto state = script_.state_.lock();
          state->busy = false;
          script_.changed_.notify_all();
          state.wait(script_.changed_, [&] { return state->stopped || !state->steps.empty(); });
          if (state->stopped) return util::Failure{Fault::cancelled, "stopped"};
          step = std::move(state->steps.front());
          state->steps.pop_front();
          state->busy = !step.end;
        }
        script_.changed_.notify_all();
        if (step.end) return *step.end;
        for (const uint64_t end = at + step.bytes; at < end;) {
          const uint64_t length = std::min<uint64_t>(end - at, 100'000);
          feed(util::as_bytes(kSpace).subspan(at, length));
          at += length;
        }
      }
    }
    void stop() override {
      script_.state_.lock()->stopped = true;
      script_.changed_.notify_all();
    }

   private:
    Script& script_;
  };
  void push(Step step) {
    state_.lock()->steps.push_back(std::move(step));
    changed_.notify_all();
  }

  util::Sync<State> state_;
  std::condition_variable changed_;
};

/// A space to be filled, and readers of it.
struct Filled {
  struct Read {
    std::future<Outcome<std::string>> answer;
    util::Operation operation;
    [[nodiscard]] bool is_ready() const {
      return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    }
  };
  Read read(SpaceFills& fills, ByteRange range) {
    auto promise = std::make_shared<std::promise<Outcome<std::string>>>();
    Read made{promise->get_future(), {}};
    made.operation =
        fills.read(space, range, script.open(), [promise](const Outcome<util::SharedBytes>& bytes) {
          if (bytes)
            promise->set_value(std::string(util::as_text(bytes->view())));
          else
            promise->set_value(bytes.failure());
        });
    return made;
  }
  static void expect_bytes(Read& read, ByteRange range) {
    ASSERT_EQ(read.answer.wait_for(std::chrono::seconds(10)), std::future_status::ready);
    const auto bytes = read.answer.get();
    ASSERT_TRUE(bytes) << bytes.failure().message;
    EXPECT_TRUE(*bytes == kSpace.substr(range.offset, range.length));
  }
  static void expect_fault(Read& read, Fault fault) {
    ASSERT_EQ(read.answer.wait_for(std::chrono::seconds(10)), std::future_status::ready);
    const auto bytes = read.answer.get();
    ASSERT_FALSE(bytes);
    EXPECT_EQ(bytes.failure().fault, fault) << bytes.failure().message;
  }
  /// A fill that runs and has given its first `bytes`.
  Read begin(SpaceFills& fills, uint64_t bytes) {
    auto first = read(fills, {kSize - 10, 10});
    script.give(bytes);
    script.await_opened(1);
    script.await_heard();
    return first;
  }
  void give_rest(uint64_t given) {
    script.give(kSize - given);
    script.finish(util::Done{});
  }

  Script script;
  std::shared_ptr<FakeSpace> space = std::make_shared<FakeSpace>();
};

class SpaceFillsTest : public testing::Test {
 protected:
  Filled one_, two_;
  std::optional<SpaceFills> fills_{std::in_place, 2};  ///< dies before what it works for
};

TEST_F(SpaceFillsTest, all_readers_join_one_fill_and_have_their_bytes_as_they_pass) {
  const ByteRange early{100, 5'000}, middle{999'000, 300'000}, end{kSize - 7, 7};
  auto first = one_.read(*fills_, early), second = one_.read(*fills_, middle),
       third = one_.read(*fills_, end), same = one_.read(*fills_, middle);
  one_.script.give(6'000);
  Filled::expect_bytes(first, early);
  EXPECT_FALSE(second.is_ready());
  one_.script.give(1'400'000);
  Filled::expect_bytes(second, middle);
  Filled::expect_bytes(same, middle);
  EXPECT_FALSE(third.is_ready());
  one_.give_rest(1'406'000);
  Filled::expect_bytes(third, end);
  EXPECT_EQ(one_.script.opened(), 1u);
}

TEST_F(SpaceFillsTest, who_comes_late_reads_what_is_stored_and_waits_for_the_rest) {
  auto last = one_.begin(*fills_, 2'500'000);
  const ByteRange stored{5, 70'000}, fresh{2'450'000, 40'000}, half{2'000'000, 400'000},
      across{1'000'000, 2'000'000};
  auto behind = one_.read(*fills_, stored), in_memory = one_.read(*fills_, fresh),
       half_written = one_.read(*fills_, half), all = one_.read(*fills_, across);
  Filled::expect_bytes(behind, stored);
  Filled::expect_bytes(in_memory, fresh);
  EXPECT_FALSE(half_written.is_ready());
  EXPECT_FALSE(all.is_ready());
  one_.give_rest(2'500'000);
  Filled::expect_bytes(half_written, half);
  Filled::expect_bytes(all, across);
  Filled::expect_bytes(last, {kSize - 10, 10});
  EXPECT_EQ(one_.script.opened(), 1u);
}

TEST_F(SpaceFillsTest, an_empty_range_waits_for_the_end) {
  auto whole = one_.read(*fills_, {});
  one_.script.give(kSize);
  one_.script.await_heard();
  EXPECT_FALSE(whole.is_ready());
  one_.script.finish(util::Done{});
  Filled::expect_bytes(whole, {});
  EXPECT_EQ(one_.space->bytes_present(), kSize);
}

TEST_F(SpaceFillsTest, a_source_that_fails_fails_all_who_wait_and_the_next_reader_begins_anew) {
  auto last = one_.begin(*fills_, 1'500'000);
  auto whole = one_.read(*fills_, {}), late = one_.read(*fills_, {0, 2'000'000});
  one_.script.finish(util::Failure{Fault::corrupt, "cannot be inflated"});
  Filled::expect_fault(last, Fault::corrupt);
  Filled::expect_fault(whole, Fault::corrupt);
  Filled::expect_fault(late, Fault::corrupt);
  one_.space->discard();
  auto again = one_.read(*fills_, {kSize - 10, 10});
  one_.give_rest(0);
  Filled::expect_bytes(again, {kSize - 10, 10});
  EXPECT_EQ(one_.script.opened(), 2u);
}

TEST_F(SpaceFillsTest,
       what_the_quota_does_not_keep_is_given_to_who_waits_and_inflated_again_later) {
  one_.space->full = true;
  auto last = one_.begin(*fills_, 2'500'000);
  auto missed = one_.read(*fills_, {40, 400}), missed_too = one_.read(*fills_, {500, 2'499'000});
  EXPECT_FALSE(missed.is_ready());
  one_.give_rest(2'500'000);
  Filled::expect_bytes(last, {kSize - 10, 10});
  one_.script.await_opened(2);
  one_.script.give(2'499'500);
  Filled::expect_bytes(missed, {40, 400});
  Filled::expect_bytes(missed_too, {500, 2'499'000});
  one_.give_rest(2'499'500);
  EXPECT_EQ(one_.space->bytes_present(), 0u);
}

TEST_F(SpaceFillsTest, a_reader_that_went_is_not_called_and_the_fill_goes_on_without_it) {
  std::optional<Filled::Read> gone = one_.begin(*fills_, 1'000'000);
  gone->operation.cancel();
  one_.give_rest(1'000'000);
  auto whole = one_.read(*fills_, {});
  Filled::expect_bytes(whole, {});
  EXPECT_THROW(static_cast<void>(gone->answer.get()), std::future_error) << "dropped unanswered";
  EXPECT_EQ(one_.space->bytes_present(), kSize);
  EXPECT_EQ(one_.script.opened(), 1u);
}

TEST_F(SpaceFillsTest, a_layer_whose_source_is_silent_holds_up_no_other) {
  auto silent = one_.begin(*fills_, 1);
  auto other = two_.read(*fills_, {0, kSize});
  two_.give_rest(0);
  Filled::expect_bytes(other, {0, kSize});
  EXPECT_FALSE(silent.is_ready());
}

TEST_F(SpaceFillsTest, no_more_than_so_many_run_at_once) {
  Filled third;
  fills_.emplace(2);
  auto first = one_.begin(*fills_, 1), second = two_.begin(*fills_, 1);
  auto waits = third.read(*fills_, {0, 10});
  third.give_rest(0);
  EXPECT_EQ(third.script.opened(), 0u);
  one_.give_rest(1);
  Filled::expect_bytes(waits, {0, 10});
  fills_.reset();
}

TEST_F(SpaceFillsTest, its_end_stops_what_runs_and_what_waits_for_its_turn) {
  Filled queued;
  fills_.emplace(1);
  auto running = one_.begin(*fills_, 1'500'000), waits = queued.read(*fills_, {0, 10});
  fills_.reset();
  Filled::expect_fault(running, Fault::cancelled);
  Filled::expect_fault(waits, Fault::cancelled);
  EXPECT_EQ(queued.script.opened(), 0u);
}

}  // namespace
}  // namespace swarmfs::content
