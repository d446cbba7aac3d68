// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/fetcher.h"

#include "fetch/brain.h"

namespace swarmfs::fetch {

Layer::Layer(chunk::LayerRef ref, std::shared_ptr<chunk::StoredLayer> stored,
             std::shared_ptr<LayerState> state, std::weak_ptr<Brain> brain)
    : ref_(std::move(ref)),
      origins_(ref_.origins),
      stored_(std::move(stored)),
      touch_log_(ref_.size),
      state_(std::move(state)),
      brain_(std::move(brain)) {}
Layer::~Layer() = default;

chunk::LayerRef Layer::with_origins() const {
  auto made = ref_;
  made.origins = *origins_.lock();
  return made;
}

std::optional<std::set<chunk::Origin>> Layer::came_for() const {
  const auto brain = brain_.lock();
  return brain ? brain->came_for(ref_) : std::nullopt;
}

void Layer::seal(std::shared_ptr<const chunk::HashTree> tree, const std::string& claimant) {
  if (const auto brain = brain_.lock()) brain->seal(*this, {std::move(tree), claimant});
}

bool Layer::is_whole() const {
  return stored_->has({0, chunk::block_count(ref_.size)});
}

bool Layer::claimed() const {
  return state_->seal.lock()->claimed();
}

bool Layer::sealed_by_us() const {
  auto seal = state_->seal.lock();
  return seal->tree && !seal->claimed();
}

std::shared_ptr<const chunk::HashTree> Layer::tree() const {
  return state_->seal.lock()->tree;
}

void Layer::discard(const std::string& why) {
  if (const auto brain = brain_.lock()) brain->discard(*this, why);
}

unsigned Layer::discards() const {
  return state_->discards;
}

std::map<std::string, uint64_t> Layer::bytes_by_source() const {
  std::map<std::string, uint64_t> made;
  for (size_t i = 0; i < by_source_.size(); ++i)
    made[chunk::to_string(static_cast<chunk::SourceKind>(i))] = by_source_[i];
  return made;
}

Fetcher::Fetcher(chunk::Store& store, std::vector<chunk::Source*> sources, FetchOptions options,
                 util::Timers& timers, util::Metrics& metrics)
    : brain_(std::make_shared<Brain>(store, std::move(sources), options, timers, metrics)) {}

Fetcher::~Fetcher() {
  stop();
}

void Fetcher::stop() {
  brain_->stop();
}

std::shared_ptr<Layer> Fetcher::open(const chunk::LayerRef& ref) {
  return brain_->open(ref);
}

std::shared_ptr<Layer> Fetcher::open_alone(const chunk::LayerRef& ref,
                                           const std::set<chunk::Origin>& others) {
  return brain_->open_alone(ref, others);
}

std::optional<std::set<chunk::Origin>> Fetcher::came_for(const chunk::LayerRef& ref) const {
  return brain_->came_for(ref);
}

util::Outcome<std::optional<HeldBlock>> Fetcher::held_block(const Layer& layer) const {
  return fetch::held_block(layer.stored(), layer.sealed_by_us(), brain_->secret);
}

void Fetcher::set_fault_timeout(std::chrono::milliseconds timeout) {
  brain_->fault_timeout = timeout;
}
void Fetcher::set_backfill_rate(uint64_t bytes_per_second) {
  brain_->set_backfill_rate(bytes_per_second);
}

bool Fetcher::try_read_now(Layer& layer, util::ByteRange range, std::byte* into) {
  if (!layer.stored().try_read_now(range, into)) return false;
  layer.touch_log().note(range);
  count_hit(layer, chunk::Class::fault, range.length);
  return true;
}

void Fetcher::count_hit(Layer& layer, chunk::Class cls, uint64_t bytes) {
  brain_->count(layer, chunk::SourceKind::cache, cls, bytes);
}

util::Operation Fetcher::read(std::shared_ptr<Layer> layer, util::ByteRange range,
                              chunk::FetchContext context, OnRead on_read) {
  if (context.cls == chunk::Class::fault) layer->touch_log().note(range);
  return brain_->read(std::move(layer), range, std::move(context), std::move(on_read));
}

util::Operation Fetcher::bring_in(std::shared_ptr<Layer> layer, chunk::Class cls, OnDone on_done) {
  return brain_->bring_in(std::move(layer), cls, std::move(on_done));
}

std::vector<chunk::BlockRange> Fetcher::coming(const Layer& layer) const {
  return brain_->coming(layer);
}

bool Fetcher::may_relay() const {
  return brain_->may_relay();
}

std::map<std::string, uint64_t> Fetcher::bytes_by_source() const {
  std::map<std::string, uint64_t> made;
  for (size_t i = 0; i < brain_->counters.size(); ++i) {
    double bytes = 0;
    for (const auto* counter : brain_->counters[i]) bytes += counter->value();
    made[chunk::to_string(static_cast<chunk::SourceKind>(i))] = static_cast<uint64_t>(bytes);
  }
  return made;
}

}  // namespace swarmfs::fetch
