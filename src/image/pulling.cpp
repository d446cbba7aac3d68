// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// ImageLibrary: how an image is brought in as a whole.

#include <condition_variable>

#include "image/image_library.h"

namespace swarmfs::image {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

/// Layers at once: one that ends is no pause of the network, and the small ones are no round trips.
constexpr size_t kSideBySide = 3;
constexpr unsigned kTimes = 3;

uint64_t size_of(const std::vector<oci::Descriptor>& layers) {
  std::map<util::Digest, uint64_t> sizes;
  for (const auto& layer : layers) sizes[layer.digest] = layer.size;
  uint64_t total = 0;
  for (const auto& [digest, size] : sizes) total += size;
  return total;
}

Failure no_room(const std::string& what, const chunk::StoreUsage& usage) {
  const bool small_disk = usage.most < usage.quota;
  return {
      Fault::no_space,
      what + " does not fit the " + util::human_bytes(usage.most) + " that the cache's " +
          (small_disk ? "disk has for it: free space there" : "quota allows: raise [cache] quota") +
          ", unmount other images, or mount it without a pull: what is read is fetched then"};
}

/// Layers on their way, hashed behind what comes of them, and which of them have ended.
class Pulls {
 public:
  struct One {
    std::unique_ptr<content::RunningDigest> digest;
    std::optional<Outcome<util::Done>> outcome{};
    util::Operation operation{};
  };

  explicit Pulls(fetch::Fetcher& fetcher) : fetcher_(fetcher) {}

  void start(const std::shared_ptr<content::Content>& content) {
    const uint64_t number = started_++;
    auto& one = live_[number];
    one.digest = std::make_unique<content::RunningDigest>(fetcher_, content);
    one.operation = fetcher_.bring_in(content->bytes, chunk::Class::pull,
                                      [this, number](Outcome<util::Done> outcome) {
                                        ended_.lock()->emplace_back(number, std::move(outcome));
                                        changed_.notify_all();
                                      });
  }
  [[nodiscard]] size_t live() const { return live_.size(); }
  /// One that has ended, soon; nothing: look again.
  std::optional<One> next() {
    bool hashed = false;
    for (auto& [number, one] : live_) hashed |= one.digest->advance();
    const auto until = std::chrono::steady_clock::now() + (hashed ? kNoWait : kWait);
    auto ended = ended_.lock();
    if (!ended.wait_until(changed_, until, [&] { return !ended->empty(); })) return std::nullopt;
    auto [number, outcome] = std::move(ended->front());
    ended->pop_front();
    ended.unlock();  // an operation dies without our lock: its callback may wait for it
    auto one = std::move(live_.extract(number).mapped());
    one.outcome = std::move(outcome);
    return one;
  }

 private:
  static constexpr std::chrono::milliseconds kNoWait{0}, kWait{50};

  fetch::Fetcher& fetcher_;
  uint64_t started_ = 0;
  util::Sync<std::list<std::pair<uint64_t, Outcome<util::Done>>>> ended_;
  std::condition_variable changed_;
  std::map<uint64_t, One> live_;  ///< last: nothing calls back once it is gone
};

/// What came last may have driven out what came first, or somebody evicts. Each once.
std::map<util::Digest, const content::Content*> missing(const Image& image) {
  std::map<util::Digest, const content::Content*> found;
  for (const auto& content : image.contents)
    if (!content->bytes->is_whole()) found.emplace(content->ref().digest, content.get());
  return found;
}

/// Without that the cache evicts by itself, as it is set up by default.
bool is_room_for(const std::map<util::Digest, const content::Content*>& layers,
                 const chunk::StoreUsage& usage) {
  uint64_t bytes = usage.bytes;
  for (const auto& [digest, layer] : layers)
    bytes +=
        layer->ref().size - std::min(layer->bytes->stored().bytes_present(), layer->ref().size);
  return bytes <= usage.most / 100 * 85;
}

}  // namespace

std::shared_ptr<Job> ImageLibrary::pull(const oci::Reference& reference,
                                        const oci::Platform& platform) {
  return start("pull", reference, [=, this](Job& job) -> std::optional<Failure> {
    const auto record = resolve(reference, platform);
    if (!record) return record.failure();
    if (auto failure = too_large(*record)) return failure;
    const auto image = open(*record, &job);
    if (!image) return image.failure();
    auto failure = bring_until_whole(**image, job);
    // Not while its other layers come: the network needs the processors.
    for (const auto& content : (*image)->contents)
      if (content->bytes->is_whole()) check_later(content);
    return failure;
  });
}

std::optional<Failure> ImageLibrary::too_large(const ImageRecord& record) const {
  const uint64_t size = size_of(record.layers);
  const auto usage = store_.usage();
  if (size <= usage.most) return std::nullopt;
  return no_room(record.reference.to_string() + " (" + util::human_bytes(size) + ")", usage);
}

std::optional<Failure> ImageLibrary::bring_until_whole(const Image& image, Job& job) {
  for (unsigned time = 1;; ++time) {
    if (auto failure = bring_all(image, job)) return failure;
    const auto absent = missing(image);
    if (absent.empty()) return std::nullopt;
    const std::string what =
        "layer " + absent.begin()->first.short_hex() + " of " + image.reference.to_string();
    const auto usage = store_.usage();
    if (!usage.trouble.empty())
      return Failure{Fault::unavailable, what + " cannot be kept: " + usage.trouble};
    if (!is_room_for(absent, usage)) return no_room(what, usage);
    if (time == kTimes)
      return Failure{Fault::unavailable,
                     what + " was evicted while it came, " + std::to_string(kTimes) +
                         " times: end what evicts (swarmfs evict?) and pull again"};
  }
}

std::optional<Failure> ImageLibrary::bring_all(const Image& image, Job& job) {
  Pulls pulls(fetcher_);
  const size_t count = image.contents.size();
  for (size_t next = 0; next < count || pulls.live() > 0;) {
    for (; next < count && pulls.live() < kSideBySide; ++next) pulls.start(image.contents[next]);
    if (state_.lock()->stopping) return Failure{Fault::cancelled, "the daemon stops"};
    if (job.cancelled()) return Failure{Fault::cancelled, "nobody waits for it"};
    const auto ended = pulls.next();
    if (!ended) continue;
    const auto& outcome = *ended->outcome;
    if (!outcome && outcome.failure().fault != Fault::corrupt) return outcome.failure();
    // The others are on their way meanwhile.
    const auto& content = ended->digest->content();
    const auto verified =
        outcome ? library_.verify_digest(*ended->digest) : library_.settle(content);
    doubt_readers_of(content, !verified && verified.failure().fault == Fault::corrupt);
    if (!verified && verified.failure().fault != Fault::not_found) return verified.failure();
  }
  return std::nullopt;
}

}  // namespace swarmfs::image
