// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/image_library.h"
#include "image/prefetch.h"
#include "util/log.h"

namespace swarmfs::image {

using util::Fault;
using util::Outcome;

namespace {

std::string profile_name(const Image& image) {
  return "profile/" + image.manifest.hex();
}

std::vector<uint64_t> layer_sizes(const Image& image) {
  std::vector<uint64_t> sizes;
  for (const auto& layer : image.layers) sizes.push_back(layer.size);
  return sizes;
}

}  // namespace

void ImageLibrary::fill(const std::shared_ptr<const Image>& image) {
  save_profile(*image);  // what another mount of it has learned so far
  for (const auto& content : image->contents) content->bytes->touch_log().start();
  const std::weak_ptr<const Image> weak = image;
  hold(image, timers_.after(options_.learn, [this, weak] {
    const auto still = weak.lock();
    auto state = state_.lock();
    if (still && !state->stopping) run_beside(*state, [this, still] { save_profile(*still); });
  }));
  if (options_.backfill) prefetch_known(image);
}

void ImageLibrary::hold(const std::shared_ptr<const Image>& image, util::Operation operation) {
  auto state = state_.lock();
  const auto known = state->images.find(image->encoded);
  if (known != state->images.end() && known->second.image == image && !state->stopping)
    known->second.fillings.push_back(std::move(operation));
}

void ImageLibrary::prefetch_known(const std::shared_ptr<const Image>& image) {
  std::vector<Wish> wishes;
  for (const auto& entry : load_profile(*image).entries)
    wishes.push_back({image->contents[entry.layer]->bytes, entry.bytes});
  const std::weak_ptr<const Image> weak = image;
  hold(image, prefetch(fetcher_, std::move(wishes), [this, weak] {
         if (const auto still = weak.lock()) backfill(still, 0);
       }));
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

void ImageLibrary::check_later(const std::shared_ptr<content::Content>& content, bool corrupt) {
  auto state = state_.lock();
  if (state->stopping) return;
  run_beside(*state, [this, content, corrupt] {
    const auto outcome = corrupt ? library_.settle(*content) : library_.verify(*content);
    if (!outcome) util::log::warning("{}", outcome.failure().message);
  });
}

void ImageLibrary::backfill(const std::shared_ptr<const Image>& image, size_t at) {
  if (at >= image->contents.size()) {
    util::log::info("{}: all its layers are here", image->reference.to_string());
    return;
  }
  const std::weak_ptr<const Image> weak = image;
  auto operation = fetcher_.bring_in(
      image->contents[at]->bytes, chunk::Class::backfill,
      [this, weak, at](Outcome<util::Done> outcome) {
        const auto still = weak.lock();
        if (!still) return;
        const bool corrupt = !outcome && outcome.failure().fault == Fault::corrupt;
        if (outcome || corrupt) check_later(still->contents[at], corrupt);
        if (!outcome)
          util::log::info("{}: backfill of layer {} ended: {}", still->reference.to_string(),
                          still->layers[at].digest.short_hex(), outcome.failure().message);
        if (outcome || outcome.failure().fault != Fault::no_space) backfill(still, at + 1);
      });
  hold(image, std::move(operation));
}

}  // namespace swarmfs::image
