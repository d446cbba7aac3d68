// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <atomic>
#include <random>

#include "fetch_fixture.h"
#include "util/workers.h"

namespace swarmfs::fetch {
namespace {

using chunk::Class;
using util::ByteRange;

/// A source with threads of its own and a temper: it lies, fails, stalls and hangs up by chance.
class MoodySource final : public chunk::Source {
 public:
  /// `moods`: of 8 requests so many go wrong in some way.
  MoodySource(const std::string& content, chunk::SourceKind kind, unsigned moods)
      : content_(content), kind_(kind), moods_(moods) {}

  [[nodiscard]] chunk::SourceKind kind() const override { return kind_; }
  [[nodiscard]] std::string name() const override { return "moody"; }
  std::optional<chunk::Plan> plan(const chunk::LayerRef&, ByteRange,
                                  const chunk::FetchContext&) override {
    return chunk::Plan{256 * 1024, std::chrono::milliseconds(2)};
  }
  void blame(const chunk::LayerRef&, const std::string&, const std::string&) override { ++blamed_; }
  std::unique_ptr<chunk::Transfer> fetch(const chunk::LayerRef&, ByteRange range,
                                         const chunk::FetchContext&, OnData on_data,
                                         OnDone on_done) override {
    auto line = std::make_shared<Line>();
    line->on_data = std::move(on_data);
    line->on_done = std::move(on_done);
    const unsigned seed = next_++;
    threads_.post(util::Workers::Urgency::normal,
                  [this, line, range, seed] { serve(*line, range, seed); });
    return std::make_unique<Handle>(line);
  }
  [[nodiscard]] unsigned blamed() const { return blamed_; }

 private:
  struct Line {
    util::CallbackGate gate;
    OnData on_data;
    OnDone on_done;
  };
  class Handle final : public chunk::Transfer {
   public:
    explicit Handle(std::shared_ptr<Line> line) : line_(std::move(line)) {}
    ~Handle() override { line_->gate.close(); }
    void pause() override {}
    void resume() override {}
    [[nodiscard]] std::string supplier() const override { return "moody"; }

   private:
    std::shared_ptr<Line> line_;
  };

  void serve(Line& line, ByteRange range, unsigned seed) {
    std::minstd_rand random(seed + 1);
    random.discard(3);
    std::string bytes = content_.substr(range.offset, range.length);
    util::Outcome<util::Done> end = util::Done{};
    switch (random() % 8 < moods_ ? random() % 4 : 4) {
      case 0:
        bytes[random() % bytes.size()] ^= 1;
        break;
      case 1:
        bytes.resize(random() % bytes.size());
        break;
      case 2:
        end = util::Failure{util::Fault::unavailable, "moody"};
        bytes.resize(random() % bytes.size());
        break;
      case 3:
        bytes += "and more";
        break;
      default:
        break;
    }
    for (size_t at = 0; at < bytes.size();) {
      const size_t length = std::min<size_t>(bytes.size() - at, 1 + random() % 60'000);
      line.gate.run(
          [&] { line.on_data(util::as_bytes(std::string_view(bytes).substr(at, length))); });
      at += length;
    }
    line.gate.run([&] { line.on_done(std::move(end)); });
  }

  const std::string& content_;
  const chunk::SourceKind kind_;
  const unsigned moods_;
  std::atomic<unsigned> next_{0}, blamed_{0};
  util::Workers threads_{3};
};

class StormTest : public FetchTest {
 protected:
  /// Reads at random until the whole layer was asked for some times over.
  void storm(unsigned seed, Class cls) {
    std::minstd_rand random(seed);
    for (int i = 0; i < 60; ++i) {
      const uint64_t offset = random() % kSize;
      const ByteRange range{offset, std::min<uint64_t>(1 + random() % 300'000, kSize - offset)};
      auto one = read(range, {cls, util::SteadyTime::max(), "", random() % 4 == 0});
      if (random() % 8 == 0) continue;  // gone before the answer
      expect_bytes(one, range);
    }
  }
};

TEST_F(StormTest, readers_of_a_sealed_layer_see_only_right_bytes_whatever_peers_do) {
  MoodySource peers(content_, chunk::SourceKind::peer, 6);
  MoodySource registry(content_, chunk::SourceKind::registry, 0);
  start_over({&peers, &registry}, {.quiet = Milliseconds(1)}, 1 << 30);
  layer_->seal(tree());
  const auto backfill =
      fetcher_->bring_in(layer_, Class::backfill, [](const util::Outcome<util::Done>&) {});
  std::vector<std::thread> readers;
  for (unsigned i = 0; i < 4; ++i)
    readers.emplace_back([this, i] { storm(i + 1, i % 2 ? Class::fault : Class::pull); });
  for (auto& reader : readers) reader.join();
  await_cached({0, kSize});
  auto all = read({0, kSize});
  expect_bytes(all, {0, kSize});
  EXPECT_GT(peers.blamed(), 0u);
  EXPECT_EQ(registry.blamed(), 0u);
  fetcher_->stop();
}

TEST_F(StormTest, a_seal_in_the_middle_of_a_storm_leaves_only_right_bytes) {
  MoodySource peers(content_, chunk::SourceKind::peer, 4);
  MoodySource registry(content_, chunk::SourceKind::registry, 0);
  start_over({&peers, &registry}, {.quiet = Milliseconds(1)}, 1 << 30);
  std::vector<std::thread> readers;
  for (unsigned i = 0; i < 3; ++i)
    readers.emplace_back([this, i] {
      for (uint64_t at = i * 65'536; at < kSize / 2; at += 3 * 65'536)
        static_cast<void>(read(ByteRange{at, 65'536}.clamp(kSize)).answer.get());
      layer_->seal(tree());
      storm(i + 1, Class::fault);
    });
  for (auto& reader : readers) reader.join();
  auto all = read({0, kSize});
  expect_bytes(all, {0, kSize});
  fetcher_->stop();
}

TEST_F(StormTest, discards_in_a_storm_end_in_right_bytes) {
  MoodySource peers(content_, chunk::SourceKind::peer, 4);
  MoodySource registry(content_, chunk::SourceKind::registry, 0);
  start_over({&peers, &registry}, {.quiet = Milliseconds(1)}, 1 << 30);
  std::vector<std::thread> readers;
  for (unsigned i = 0; i < 3; ++i)
    readers.emplace_back([this, i] {
      for (uint64_t at = i * 65'536; at < kSize; at += 3 * 65'536)
        static_cast<void>(read(ByteRange{at, 65'536}.clamp(kSize)).answer.get());
    });
  for (int i = 0; i < 5; ++i) layer_->discard("a test says so");
  for (auto& reader : readers) reader.join();
  layer_->discard("a test says so");
  auto all = read({0, kSize});
  expect_bytes(all, {0, kSize});
  fetcher_->stop();
}

}  // namespace
}  // namespace swarmfs::fetch
