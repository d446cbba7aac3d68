// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "soak.h"

#include <malloc.h>

#include <cstring>
#include <fstream>
#include <future>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

#include "live_heap.h"

namespace swarmfs::torrent_test {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kQuota = 24 * Soak::kLayer;
constexpr std::chrono::milliseconds kHeard{500};
constexpr unsigned kDropEmptyEvery = 16;  ///< layers

/// The same for all, but for the number of the layer in each block.
util::Bytes content_of(unsigned layer) {
  static const util::Bytes noise = [] {
    util::Bytes made(Soak::kLayer);
    std::mt19937_64 random(1);
    for (size_t at = 0; at < made.size(); at += 8) {
      const uint64_t word = random();
      std::memcpy(made.data() + at, &word, sizeof word);
    }
    return made;
  }();
  auto made = noise;
  for (size_t at = 0; at < made.size(); at += chunk::kBlockSize)
    std::memcpy(made.data() + at, &layer, sizeof layer);
  return made;
}

size_t anonymous_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::stoul(line.substr(8)) * 1024;
  throw std::runtime_error("no RssAnon");
}

size_t count_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

/// Without those that the kernel makes for io_uring, and lets go.
size_t count_threads() {
  size_t made = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::ifstream(task.path() / "comm") >> name;
    made += !name.starts_with("iou-");
  }
  return made;
}

/// Waits for the store's word.
bool try_write(chunk::StoredLayer& stored, util::ByteView part, uint64_t offset) {
  std::promise<bool> written;
  stored.write(chunk::BlockIndex{offset / chunk::kBlockSize},
               util::SharedBytes::of({part.begin(), part.end()}), chunk::Class::pull,
               [&](const auto& outcome) { written.set_value(static_cast<bool>(outcome)); });
  return written.get_future().get();
}

/// Until the store, which may be evicting, takes it.
void write(chunk::StoredLayer& stored, util::ByteView content, util::ByteRange range) {
  const auto part = content.subspan(range.offset, range.length);
  for (const auto begun = Clock::now(); !try_write(stored, part, range.offset);) {
    if (Clock::now() > begun + std::chrono::seconds(60))
      throw std::runtime_error("the giver's cache takes nothing");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

/// Or absent: a cache that is full keeps nothing.
bool is_right(chunk::StoredLayer& stored, util::ByteView content, util::ByteRange range) {
  std::promise<bool> right;
  stored.read(range, [&](const util::Outcome<util::SharedBytes>& bytes) {
    const auto part = content.subspan(range.offset, range.length);
    right.set_value(bytes ? std::ranges::equal(bytes->view(), part)
                          : bytes.failure().fault == util::Fault::not_found);
  });
  return right.get_future().get();
}

}  // namespace

Footprint Footprint::now() {
  ::malloc_trim(0);  // how much of what is free waits to be used again changes by the moment
  return {anonymous_memory(), live_heap(), count_descriptors(), count_threads()};
}

/// One layer on its way from one node to the other. One thread, but what Coming says.
class Soak::Layer {
 public:
  Layer(unsigned number, SoakNode& giver, SoakNode& taker)
      : number_(number),
        giver_(giver),
        taker_(taker),
        content_(content_of(number)),
        chunks_(kLayer / kChunk) {
    chunk::HashTreeBuilder builder;
    builder.feed(content_);
    tree_ = std::make_shared<const chunk::HashTree>(builder.finish());
    ref_ = {util::Sha256::of(content_), kLayer, {{"docker.io", "library/soak"}}, {}, {}};
    given_ = open(giver_);
    taken_ = open(taker_);
    give(number % 2 ? kLayer / 2 : kLayer);
    publish(giver_, given_);
    publish(taker_, taken_);
  }

  /// True: it has gone. Adds to `came` what came meanwhile.
  bool step(uint64_t& came) {
    if (gone_) return is_forgotten(giver_) && is_forgotten(taker_);
    if (Clock::now() > heard_ + kHeard) hear();
    for (size_t i = 0; i < chunks_.size(); ++i) came += look_after(chunks_[i], chunk(i));
    if (came_ == 0) return false;
    lose_all_once();
    if (came_ >= chunks_.size() / 2) give(kLayer);
    if (came_ == chunks_.size()) take_leave();
    return false;
  }
  [[nodiscard]] std::string to_string() const {
    return "layer " + std::to_string(number_) + ": " + std::to_string(came_) + " chunks came, of " +
           std::to_string(given_bytes_ / kChunk) + (gone_ ? ", and it is not forgotten" : "");
  }

 private:
  enum class Word { none, good, bad, wrong };
  /// A chunk that is fetched. `word` is any thread's.
  struct Coming {
    std::atomic<Word> word{Word::none};
    std::unique_ptr<chunk::Transfer> transfer;
  };
  struct Chunk {
    std::unique_ptr<Coming> coming;
    bool here = false;
  };

  static util::ByteRange chunk(size_t index) { return {index * kChunk, kChunk}; }

  std::shared_ptr<chunk::StoredLayer> open(SoakNode& node) {
    auto stored = node.cache.open(ref_.digest, kLayer, chunk::Form::bytes);
    stored->trust(tree_);
    return stored;
  }
  void publish(SoakNode& node, const std::shared_ptr<chunk::StoredLayer>& stored) {
    node.holdings.put({ref_, tree_, stored, [stands = stands_] { return stands->load(); }});
  }
  void give(uint64_t until) {
    for (; given_bytes_ < until; given_bytes_ += 4 * kChunk)
      write(*given_, content_, {given_bytes_, 4 * kChunk});
  }
  void hear() {
    heard_ = Clock::now();
    for (auto* node : {&giver_, &taker_}) node->views.interest(ref_, heard_);
    taker_.hear(giver_, ref_.digest, kLayer);
    giver_.hear(taker_, ref_.digest, kLayer);
  }
  bool look_after(Chunk& one, util::ByteRange range) {
    if (one.here) return false;
    if (!one.coming) {
      fetch(one, range);
      return false;
    }
    const Word word = one.coming->word;
    if (word == Word::none) return false;
    if (word == Word::wrong) throw std::runtime_error(to_string() + ", one of them wrong");
    one.coming.reset();
    one.here = word == Word::good;
    came_ += one.here;
    return one.here;
  }
  void fetch(Chunk& one, util::ByteRange range) {
    chunk::FetchContext context;
    context.cls = chunk::Class::pull;
    context.sealed = true;
    auto& source = taker_.lane->source();
    if (!source.plan(ref_, range, context)) return;
    one.coming = std::make_unique<Coming>();
    auto& coming = *one.coming;
    coming.transfer = source.fetch(
        ref_, range, context,
        [this, range, &coming](util::ByteView bytes) {
          const auto right = util::ByteView(content_).subspan(range.offset, range.length);
          if (!std::ranges::equal(bytes, right)) coming.word = Word::wrong;
        },
        [&coming](const auto& outcome) {
          Word none = Word::none;
          coming.word.compare_exchange_strong(none, outcome ? Word::good : Word::bad);
        });
  }
  void lose_all_once() {
    if (number_ % 5 || std::exchange(lost_, true)) return;
    given_->discard();
    given_bytes_ = 0;
    give(kLayer);
  }
  void take_leave() {
    if (!is_right(*taken_, content_, chunk(number_ % chunks_.size())))
      throw std::runtime_error(to_string() + ", and what was kept is wrong");
    *stands_ = false;
    for (auto* node : {&giver_, &taker_}) node->holdings.take_away(ref_.digest);
    given_.reset();
    taken_.reset();
    content_ = {};
    gone_ = true;
  }
  [[nodiscard]] bool is_forgotten(SoakNode& node) const {
    return !node.lane->peers(ref_.digest).has_value();
  }

  const unsigned number_;
  SoakNode& giver_;
  SoakNode& taker_;
  util::Bytes content_;
  chunk::LayerRef ref_;
  std::shared_ptr<const chunk::HashTree> tree_;
  std::shared_ptr<chunk::StoredLayer> given_, taken_;
  const std::shared_ptr<std::atomic<bool>> stands_ = std::make_shared<std::atomic<bool>>(true);
  std::vector<Chunk> chunks_;
  uint64_t given_bytes_ = 0;
  size_t came_ = 0;
  bool lost_ = false;
  bool gone_ = false;
  Clock::time_point heard_{};
};

Soak::Soak(const std::filesystem::path& directory) : Soak(directory, cluster::Token::make()) {}

Soak::Soak(const std::filesystem::path& directory, const cluster::Token& token)
    : giver_("127.0.0.21", token, directory / "giver", kQuota),
      taker_("127.0.0.22", token, directory / "taker", kQuota) {}

Soak::~Soak() = default;

void Soak::run_until(uint64_t chunks, std::chrono::seconds patience) {
  patience_ = patience;
  moved_ = Clock::now();
  while (chunks_ < chunks) {
    while (layers_.size() < kLayersAtOnce) {
      layers_.push_back(std::make_unique<Layer>(next_++, giver_, taker_));
      if (next_ % kDropEmptyEvery == 0) drop_empty();
    }
    step();
  }
  while (!layers_.empty()) step();
  for (auto* node : {&giver_, &taker_}) empty(node->cache);
}

void Soak::step() {
  const auto before = chunks_;
  std::erase_if(layers_, [&](const auto& layer) { return layer->step(chunks_); });
  if (chunks_ > before) moved_ = Clock::now();
  if (Clock::now() > moved_ + patience_)
    throw std::runtime_error("nothing comes; " + layers_.front()->to_string());
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

void Soak::empty(chunk::Store& cache) {
  for (const auto begun = Clock::now(); !cache.layers().empty();) {
    cache.evict_all();
    drop_empty();
    if (Clock::now() > begun + patience_)
      throw std::runtime_error("somebody holds " + cache.layers().front().to_string());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void Soak::drop_empty() {
  for (auto* node : {&giver_, &taker_}) node->cache.drop_empty();
}

}  // namespace swarmfs::torrent_test
