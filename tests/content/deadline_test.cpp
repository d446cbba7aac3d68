// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <thread>

#include "content/vain_reads.h"
#include "content_fixture.h"

namespace swarmfs::content {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using util::as_bytes;
using util::ByteRange;
using util::Fault;
using util::Outcome;

/// Reads whose source is silent, and when each of them ends.
class DeadlineTest : public ContentTest {
 protected:
  struct Read {
    std::future<Outcome<std::string>> answer;
    util::Operation operation;
    [[nodiscard]] bool is_ready() const {
      return answer.wait_for(seconds(0)) == std::future_status::ready;
    }
  };
  Read begin(const std::shared_ptr<Content>& content, ByteRange range, milliseconds patience) {
    const auto& files = content->index->files;
    auto promise = std::make_shared<std::promise<Outcome<std::string>>>();
    Read made{promise->get_future(), {}};
    made.operation = reader_->read(
        content, *files.find(files.root(), "big"), range,
        {chunk::Class::fault, std::chrono::steady_clock::now() + patience, "", false, false},
        [promise](const Outcome<util::SharedBytes>& bytes) {
          if (bytes)
            promise->set_value(std::string(util::as_text(bytes->view())));
          else
            promise->set_value(bytes.failure());
        });
    return made;
  }
  Outcome<std::string> answer_of(Read& read) {
    for (int i = 0; i < 10'000 && !read.is_ready(); ++i) {
      source_->answer_all();
      std::this_thread::sleep_for(milliseconds(1));
    }
    return read.is_ready() ? read.answer.get() : util::Failure{Fault::invalid, "never answered"};
  }
  static void expect_timed_out(Read& read) {
    ASSERT_EQ(read.answer.wait_for(seconds(10)), std::future_status::ready);
    const auto outcome = read.answer.get();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.failure().fault, Fault::timed_out) << outcome.failure().message;
  }
  void expect_file_bytes(Read& read, const std::string& file, ByteRange range) {
    const auto bytes = answer_of(read);
    ASSERT_TRUE(bytes) << bytes.failure().message;
    EXPECT_TRUE(*bytes == file.substr(range.offset, range.length));
  }
  /// `layer` was opened and indexed; none of its bytes are here any more.
  std::shared_ptr<Content> open_and_evict(const std::string& layer) {
    start(layer);
    const chunk::LayerRef ref{util::Sha256::of(as_bytes(layer)), layer.size(), {}};
    const auto opened = served([&] { return library_->open(ref); });
    EXPECT_TRUE(opened) << opened.failure().message;
    (*opened)->bytes->stored().discard();
    if ((*opened)->space) (*opened)->space->discard();
    return *opened;
  }
};

TEST_F(DeadlineTest, a_joiner_of_a_span_has_its_own_deadline) {
  const auto content = open_and_evict(layer_);
  auto patient = begin(content, {0, 100}, seconds(60));
  auto hasty = begin(content, {0, 200}, milliseconds(30));
  expect_timed_out(hasty);
  EXPECT_FALSE(patient.is_ready());
  expect_file_bytes(patient, kFile, {0, 100});
}

TEST_F(DeadlineTest, a_span_is_fetched_for_as_long_as_somebody_waits) {
  const auto content = open_and_evict(layer_);
  auto hasty = begin(content, {0, 100}, milliseconds(30));
  auto patient = begin(content, {0, 200}, seconds(60));
  expect_timed_out(hasty);
  EXPECT_FALSE(patient.is_ready());
  expect_file_bytes(patient, kFile, {0, 200});
}

TEST_F(DeadlineTest, a_reader_that_joins_the_fill_of_a_space_has_its_own_deadline) {
  const std::string file = support::noise(17 << 20, 4);
  support::TarMaker tar;
  tar.file("big", file);
  const std::string layer = support::zstd(tar.finish());
  const auto content = open_and_evict(layer);
  ASSERT_TRUE(content->space);
  const auto before = source_->requests();
  auto patient = begin(content, {16 << 20, 100}, seconds(60));
  auto hasty = begin(content, {5'000'000, 200}, milliseconds(30));
  expect_timed_out(hasty);
  EXPECT_FALSE(patient.is_ready());
  auto other = begin(content, {5'000'000, 300}, seconds(60));
  expect_file_bytes(other, file, {5'000'000, 300});
  expect_file_bytes(patient, file, {16 << 20, 100});
  EXPECT_LE(source_->requests() - before, (layer.size() >> 20) + 1) << "inflated once, by the MiB";
}

TEST_F(DeadlineTest, what_is_read_of_a_stored_space_comes_from_the_cache) {
  const std::string file = support::noise(17 << 20, 4);
  support::TarMaker tar;
  tar.file("big", file);
  const std::string layer = support::zstd(tar.finish());
  start(layer);
  const auto opened = served([&] {
    return library_->open({util::Sha256::of(as_bytes(layer)), layer.size(), {}});
  });
  ASSERT_TRUE(opened);
  auto& hits = metrics_.counter("swarmfs_bytes_total", "Bytes of layers by source and class",
                                {{"source", "cache"}, {"class", "fault"}});
  const double before = hits.value();
  auto one = begin(*opened, {123'456, 400'000}, seconds(60));
  expect_file_bytes(one, file, {123'456, 400'000});
  EXPECT_EQ(hits.value() - before, 400'000);
  std::string now(50'000, '\0');
  const auto& files = (*opened)->index->files;
  // Whether it comes without waiting is the kernel's choice.
  if (reader_->try_read_now(**opened, *files.find(files.root(), "big"), {200'000, 50'000},
                            reinterpret_cast<std::byte*>(now.data()))) {
    EXPECT_TRUE(now == file.substr(200'000, 50'000));
    EXPECT_EQ(hits.value() - before, 450'000);
  }
}

TEST(VainReads, are_remembered_for_a_moment_where_they_took_long) {
  const util::SteadyTime start{seconds(1000)}, end = start + seconds(30);
  const util::Digest layer = util::Sha256::of({}), other = util::Sha256::of(as_bytes("x"));
  VainReads vain;
  vain.note({layer, 7, {0, 131'072}}, start, end);
  vain.note({layer, 8, {0, 131'072}}, start, start + milliseconds(500));
  EXPECT_TRUE(vain.recent({layer, 7, {0, 4096}}, end + milliseconds(5)));
  EXPECT_TRUE(vain.recent({layer, 7, {131'071, 4096}}, end));
  EXPECT_FALSE(vain.recent({layer, 7, {131'072, 4096}}, end));
  EXPECT_FALSE(vain.recent({other, 7, {0, 4096}}, end));
  EXPECT_FALSE(vain.recent({layer, 8, {0, 4096}}, end)) << "it failed at once: worth another try";
  EXPECT_FALSE(vain.recent({layer, 7, {0, 4096}}, end + seconds(2)));
}

}  // namespace
}  // namespace swarmfs::content
