// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/backfill.h"
#include "image/image_library.h"
#include "image/prefetch.h"
#include "util/log.h"
#include "util/low_priority.h"

namespace swarmfs::image {

using util::Fault;
using util::Outcome;

namespace {

/// Of one entry: an index by another's word may name any number of windows for it.
constexpr uint64_t kMostWindows = 4 << 20;

std::string profile_name(const Image& image) {
  return "profile/" + image.manifest.hex();
}

std::vector<uint64_t> layer_sizes(const Image& image) {
  std::vector<uint64_t> sizes;
  for (const auto& layer : image.layers) sizes.push_back(layer.size);
  return sizes;
}

}  // namespace

void ImageLibrary::fill(const std::shared_ptr<const Image>& image, bool fresh) {
  save_profile(*image);  // what another mount of it has learned so far
  for (const auto& content : image->contents) content->bytes->touch_log().start();
  const std::weak_ptr<const Image> weak = image;
  hold(image, &Known::learning, timers_.after(options_.learn, [this, weak] {
    const auto still = weak.lock();
    auto state = state_.lock();
    if (still && !state->stopping) run_beside(*state, [this, still] { save_profile(*still); });
  }));
  if (fresh && options_.backfill) prefetch_known(image);
}

void ImageLibrary::hold(const std::shared_ptr<const Image>& image, util::Operation Known::*place,
                        util::Operation operation) {
  auto state = state_.lock();
  const auto known = state->images.find(image->name);
  if (known != state->images.end() && known->second.image == image && !state->stopping)
    std::swap(known->second.*place, operation);
  state.unlock();  // an operation dies without our lock: its callback may wait for it
}

void ImageLibrary::prefetch_known(const std::shared_ptr<const Image>& image) {
  std::vector<Wish> wishes;
  for (const auto& entry : load_profile(*image).entries) {
    const auto& content = *image->contents[entry.layer];
    const auto range = content.index->windows_for(entry.bytes);
    if (!range.empty() && range.length <= kMostWindows)
      wishes.push_back({content.windows->stored(), range, true});
    wishes.push_back({content.bytes, entry.bytes, false});
  }
  if (wishes.empty()) return backfill_all(image);
  const std::weak_ptr<const Image> weak = image;
  hold(image, &Known::prefetching, prefetch(fetcher_, std::move(wishes), [this, weak] {
         if (const auto still = weak.lock()) backfill_all(still);
       }));
}

void ImageLibrary::backfill_all(const std::shared_ptr<const Image>& image) {
  std::vector<std::shared_ptr<fetch::Layer>> layers;
  for (const auto& content : image->contents) layers.push_back(content->bytes);
  const std::weak_ptr<const Image> weak = image;
  BackfillHooks hooks;
  hooks.on_layer = [this, weak](size_t layer, const Outcome<util::Done>& outcome) {
    if (const auto still = weak.lock()) on_backfilled(*still, layer, outcome);
  };
  hooks.on_all = [reference = image->reference.to_string()] {
    util::log::info("{}: all its layers are here", reference);
  };
  hold(image, &Known::filling, backfill(fetcher_, timers_, std::move(layers), std::move(hooks)));
}

void ImageLibrary::on_backfilled(const Image& image, size_t layer,
                                 const Outcome<util::Done>& outcome) {
  const bool corrupt = !outcome && outcome.failure().fault == Fault::corrupt;
  if (corrupt)
    settle_beside(image.contents[layer]);
  else if (outcome)
    check_later(image.contents[layer]);
  if (!outcome)
    util::log::info("{}: layer {} is tried again later: {}", image.reference.to_string(),
                    image.layers[layer].digest.short_hex(), outcome.failure().message);
}

AccessProfile ImageLibrary::load_profile(const Image& image) const {
  const auto document = store_.load_document(profile_name(image));
  if (!document) return {};
  auto profile = AccessProfile::parse(util::as_text(*document), layer_sizes(image));
  if (profile) return std::move(*profile);
  util::log::warning("{}: its access profile is unreadable ({}) and made anew",
                     image.reference.to_string(), profile.failure().message);
  return {};
}

void ImageLibrary::save_profile(const Image& image) {
  std::vector<std::vector<fetch::Touch>> touches;
  size_t count = 0;
  for (const auto& content : image.contents) {
    content->bytes->touch_log().stop();
    count += touches.emplace_back(content->bytes->touch_log().touches()).size();
  }
  if (count == 0) return;
  const auto text = AccessProfile::of(touches, layer_sizes(image), load_profile(image)).to_json();
  store_.save_document(profile_name(image), util::as_bytes(text));
}

void ImageLibrary::check_later(const std::shared_ptr<content::Content>& content) {
  checks_.post(util::Workers::Urgency::normal, [this, content] {
    util::take_low_priority();
    try {
      if (!state_.lock()->stopping) end_check(*content, library_.verify(*content));
    } catch (const std::exception& error) {
      util::log::error("layer {}: {}", content->ref().digest.short_hex(), error.what());
    }
  });
}

void ImageLibrary::settle_beside(const std::shared_ptr<content::Content>& content) {
  auto state = state_.lock();
  if (state->stopping) return;
  run_beside(*state, [this, content] { end_check(*content, library_.settle(*content)); });
}

void ImageLibrary::end_check(const content::Content& content, const Outcome<util::Done>& outcome) {
  if (!outcome) util::log::warning("{}", outcome.failure().message);
  doubt_readers_of(content, !outcome && outcome.failure().fault == Fault::corrupt);
}

}  // namespace swarmfs::image
