// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// ImageLibrary: how images come and go.

#include <algorithm>
#include <future>

#include "image/image_library.h"
#include "util/backoff.h"
#include "util/log.h"

namespace swarmfs::image {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

/// To bind an image on its directory.
constexpr std::chrono::seconds kGrace{60};
constexpr util::BackoffPolicy kComeBack{std::chrono::seconds(1), std::chrono::seconds(60)};

chunk::LayerRef ref_of(const oci::Reference& reference, const oci::Descriptor& layer) {
  return {layer.digest, layer.size, {{reference.registry, reference.repository}}};
}

}  // namespace

Outcome<ImageRecord> ImageLibrary::resolve(const oci::Reference& reference,
                                           const oci::Platform& platform) {
  auto resolved = manifests_.resolve(reference, platform);
  if (resolved) return records_.note(reference, platform, std::move(*resolved));
  if (resolved.failure().fault == Fault::not_found || resolved.failure().fault == Fault::denied)
    return resolved.failure();
  auto record = records_.newest(reference, &platform);
  if (!record) return resolved.failure();
  util::log::warning("{}: {}; going on with the manifest of last time", reference.to_string(),
                     resolved.failure().message);
  return std::move(*record);
}

Outcome<std::shared_ptr<Image>> ImageLibrary::open(const ImageRecord& record, Job* job) {
  auto image = std::make_shared<Image>();
  image->reference = record.reference;
  image->layers = record.layers;
  if (auto failure = open_layers(*image, job)) return *failure;
  finish(*image, record);
  return image;
}

std::shared_ptr<Image> ImageLibrary::open_known(const ImageRecord& record) {
  auto image = std::make_shared<Image>();
  image->reference = record.reference;
  image->layers = record.layers;
  for (const auto& layer : record.layers) {
    image->contents.push_back(library_.open_known(ref_of(record.reference, layer)));
    if (!image->contents.back()) return nullptr;
  }
  finish(*image, record);
  return image;
}

void ImageLibrary::finish(Image& image, const ImageRecord& record) {
  image.name = record.name();
  image.manifest = record.resolved.digest;
  std::vector<std::shared_ptr<const layer::LayerIndex>> indexes;
  for (const auto& content : image.contents) {
    indexes.push_back(content->index);
    image.generations.push_back(content->standing->generation());
  }
  image.tree = std::make_shared<const MergedTree>(indexes);
  image.slot = slots_.slot("image " + record.reference.encoded() + " " + image.manifest.hex());
  for (const auto& layer : image.layers)
    image.layer_slots.push_back(slots_.slot("layer " + layer.digest.hex()));
}

std::optional<Failure> ImageLibrary::open_layers(Image& image, Job* job) {
  std::vector<std::shared_ptr<fetch::Layer>> layers;
  for (const auto& layer : image.layers)
    layers.push_back(fetcher_.open(ref_of(image.reference, layer)));
  if (job) job->set_layers(layers);  // before any of them comes
  std::vector<std::future<Outcome<std::shared_ptr<content::Content>>>> opening;
  for (const auto& layer : image.layers)
    opening.push_back(std::async(std::launch::async, [this, ref = ref_of(image.reference, layer)] {
      return library_.open(ref);
    }));
  std::optional<Failure> failure;
  for (auto& future : opening) {
    auto content = future.get();
    if (content)
      image.contents.push_back(std::move(*content));
    else if (!failure)
      failure = content.failure();
  }
  return failure;
}

std::shared_ptr<Job> ImageLibrary::mount(const oci::Reference& reference, const Mount& mount,
                                         const oci::Platform& platform) {
  return start("mount", reference, [=, this](Job& job) -> std::optional<Failure> {
    const auto record = resolve(reference, platform);
    if (!record) return record.failure();
    const auto image = open(*record, &job);
    if (!image) return image.failure();
    if (!job.commit((*image)->name)) return Failure{Fault::cancelled, "nobody waits for it"};
    state_.lock()->places[mount.directory] = {};
    const auto lost = records_.add_mount((*image)->name, mount);
    bring_up(*image);
    for (const auto& name : lost) retire(name);
    return std::nullopt;
  });
}

void ImageLibrary::bring_up(const std::shared_ptr<Image>& image) {
  Known old;
  std::shared_ptr<const Image> live;
  bool fresh = false;
  {
    auto state = state_.lock();
    auto& known = state->images[image->name];
    // It is another one only where a layer's index was found to be a lie.
    fresh = !known.image || known.image->contents != image->contents;
    if (fresh) {
      std::swap(old, known);
      known.image = image;
    }
    live = known.image;
  }
  settle_pins(*live);
  fill(live, fresh);
  changed();
  if (old.image) {
    doubt(*old.image);
    doubt(*live);  // its names were absent
  }
  retire(image->name);  // where it was unmounted meanwhile
}

void ImageLibrary::settle_pins(const Image& image) {
  std::set<util::Digest> pinned;
  do {
    pinned = records_.pinned_layers();
    for (const auto& content : image.contents)
      content->bytes->stored().set_pinned(pinned.contains(content->ref().digest));
  } while (records_.pinned_layers() != pinned);  // another thread's last word may have been older
}

Outcome<util::Done> ImageLibrary::umount(const std::string& directory) {
  const auto name = records_.remove_mount(directory);
  state_.lock()->places.erase(directory);
  if (!name) return Failure{Fault::not_found, "nothing of ours is mounted on " + directory};
  if (const auto live = image(*name)) settle_pins(*live);
  retire(*name);
  return util::Done{};
}

void ImageLibrary::retire(const std::string& name) {
  Known gone;
  {
    auto state = state_.lock();
    const auto found = state->images.find(name);
    if (found == state->images.end() || records_.is_mounted(name)) return;
    gone = std::move(found->second);
    state->images.erase(found);
  }
  gone.learning.cancel();
  gone.prefetching.cancel();
  gone.filling.cancel();
  save_profile(*gone.image);
  settle_pins(*gone.image);
  changed();
  const auto& contents = gone.image->contents;
  if (std::any_of(contents.begin(), contents.end(),
                  [](const auto& content) { return content->standing->refuted(); }))
    doubt(*gone.image);  // the next index has the same node ids
}

void ImageLibrary::confirm(const std::string& directory) {
  auto state = state_.lock();
  const auto found = state->places.find(directory);
  if (found != state->places.end()) found->second.confirmed = true;
}

void ImageLibrary::drop_unmounted(const std::function<bool(const std::string&)>& is_mounted) {
  const auto places = state_.lock()->places;
  for (const auto& [directory, place] : places) {
    const bool mounted = is_mounted(directory);
    {
      auto state = state_.lock();
      const auto found = state->places.find(directory);
      if (found == state->places.end() || found->second.since != place.since) continue;
      found->second.seen |= mounted;
      const bool late = std::chrono::steady_clock::now() - place.since > kGrace;
      if (mounted || !(place.seen || (late && !found->second.confirmed))) continue;
    }
    util::log::info("{} was unmounted behind our back", directory);
    static_cast<void>(umount(directory));
  }
}

void ImageLibrary::restore(Restoring others) {
  const auto records = records_.mounted();
  if (others.foresee)
    for (const auto& record : records) others.foresee(record.reference, record.layers);
  for (const auto& record : records) {
    std::shared_ptr<Image> image;
    try {
      image = open_known(record);
    } catch (const std::exception& error) {
      util::log::error("{}: {}", record.reference.to_string(), error.what());
    }
    if (image) {
      come_back(image, others);
      continue;
    }
    auto state = state_.lock();
    run_beside(*state, [this, record, others] { come_back_later(record, others); });
  }
}

void ImageLibrary::come_back(const std::shared_ptr<Image>& image, const Restoring& others) {
  bring_up(image);
  const auto record = records_.find(image->name);
  if (!record) return;
  for (const auto& mount : record->mounts)
    if (others.show && others.show(mount, image->name))
      state_.lock()->places.try_emplace(mount.directory);
}

void ImageLibrary::come_back_later(const ImageRecord& record, const Restoring& others) {
  for (unsigned attempt = 1; records_.is_mounted(record.name()); ++attempt) {
    auto image = open(record, nullptr);
    if (image && !state_.lock()->stopping) return come_back(*image, others);
    if (!image)
      util::log::error("{} cannot be mounted again yet: {}", record.reference.to_string(),
                       image.failure().message);
    const auto pause = util::retry_delay(kComeBack, attempt, 0.5);
    auto state = state_.lock();
    if (state.wait_until(stopped_, std::chrono::steady_clock::now() + pause,
                         [&] { return state->stopping; }))
      return;
  }
}

}  // namespace swarmfs::image
