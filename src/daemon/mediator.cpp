// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/mediator.h"

#include "util/mounts.h"

namespace swarmfs::daemon {

using control::LayerReport;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

LayerReport report(const content::Content& content, const std::string& media_type) {
  LayerReport made;
  const auto& stored = content.bytes->stored();
  made.digest = content.ref().digest.to_string();
  made.media_type = media_type;
  made.size = content.ref().size;
  made.bytes_present = stored.bytes_present();
  made.indexed = true;
  made.lazy = content.index->seekable();
  made.why = made.lazy ? std::string(layer::to_string(content.index->compression)) +
                             " with an index: any part is read alone"
                       : content.index->why_not_seekable();
  if (made.lazy && content.bytes->front_to_back()) {
    made.lazy = false;
    made.why = "registry without range requests: streamed from the beginning";
  }
  made.verified = stored.verified();
  made.sources = content.bytes->bytes_by_source();
  const auto document = content.standing->document();
  made.trust = control::Trust{content.bytes->sealed(), document ? document->claimant : ""};
  return made;
}

Outcome<oci::Platform> platform_of(const std::string& text) {
  return text.empty() ? oci::Platform::host() : oci::Platform::parse(text);
}

/// Each once.
std::vector<chunk::LayerRef> layers_of(const image::ImageRecord& record) {
  const auto& reference = record.reference;
  std::map<util::Digest, chunk::LayerRef> made;
  for (const auto& layer : record.layers)
    made.insert_or_assign(
        layer.digest,
        chunk::LayerRef{layer.digest, layer.size, {{reference.registry, reference.repository}}});
  std::vector<chunk::LayerRef> list;
  for (auto& [digest, layer] : made) list.push_back(std::move(layer));
  return list;
}

const char* to_string(image::Job::State state) {
  switch (state) {
    case image::Job::State::running:
      return "running";
    case image::Job::State::done:
      return "done";
    case image::Job::State::failed:
      return "failed";
  }
  return "unknown";
}

}  // namespace

Mediator::Mediator(image::ImageLibrary& images, chunk::Store& store, fetch::Fetcher& fetcher,
                   const Neighbours& neighbours, Preheater& preheater, const HandOver* hand_over,
                   util::Metrics& metrics, std::filesystem::path mount_point)
    : images_(images),
      store_(store),
      fetcher_(fetcher),
      neighbours_(neighbours),
      preheater_(preheater),
      hand_over_(hand_over),
      metrics_(metrics),
      open_mounts_(metrics.gauge("swarmfs_open_mounts", "Directories that show an image")),
      mount_point_(std::move(mount_point)) {}

std::filesystem::path Mediator::image_path(const std::string& name) const {
  return mount_point_ / "images" / name / "rootfs";
}

std::vector<control::MountReport> Mediator::mounts() {
  images_.drop_unmounted(
      [](const std::string& directory) { return util::is_mount_point(directory); });
  std::vector<control::MountReport> made;
  for (const auto& record : images_.mounted()) {
    control::MountReport one;
    one.reference = record.reference.to_string();
    one.manifest = record.resolved.digest.to_string();
    one.image_path = image_path(record.name()).string();
    for (const auto& layer : record.layers) one.bytes_total += layer.size;
    if (const auto image = images_.image(record.name()))
      for (const auto& content : image->contents)
        one.bytes_present += content->bytes->stored().bytes_present();
    for (const auto& mount : record.mounts) {
      one.directory = mount.directory;
      one.pinned = mount.pinned;
      one.options = mount.options;
      made.push_back(one);
    }
  }
  return made;
}

Outcome<std::vector<control::MountReport>> Mediator::mounts_of(const std::string& text) {
  const auto reference = oci::Reference::parse(text);
  if (!reference) return reference.failure();
  auto found = mounts();
  std::erase_if(found, [wanted = reference->to_string()](const control::MountReport& mount) {
    return mount.reference != wanted;
  });
  return found;
}

control::StatusReport Mediator::status() {
  control::StatusReport made;
  made.version = SWARMFS_VERSION;
  made.uptime_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  made.mount_point = mount_point_.string();
  const auto usage = store_.usage();
  made.cache_bytes = usage.bytes;
  made.cache_quota = usage.quota;
  made.cache_evicted = usage.evicted;
  made.cache_trouble = usage.trouble;
  made.layers = usage.layers;
  made.sources = fetcher_.bytes_by_source();
  made.mounts = mounts();
  made.cluster = neighbours_.cluster();
  if (hand_over_) made.containerd = hand_over_->report();
  return made;
}

std::vector<control::PeerReport> Mediator::peers() {
  return neighbours_.peers();
}

std::vector<chunk::LayerRef> Mediator::layers_in_swarms() const {
  std::map<util::Digest, chunk::LayerRef> made;
  for (auto& layer : neighbours_.interesting()) made.emplace(layer.digest, std::move(layer));
  for (const auto& [digest, layer] : images_.layers())
    made.emplace(digest, layer.second->bytes->with_origins());
  std::vector<chunk::LayerRef> list;
  for (auto& [digest, layer] : made) list.push_back(std::move(layer));
  return list;
}

std::optional<image::ImageRecord> Mediator::record_of(const std::string& target) {
  for (const auto& record : images_.mounted())
    for (const auto& mount : record.mounts)
      if (mount.directory == target) return record;
  const auto reference = oci::Reference::parse(target);
  const auto remembered = reference ? images_.remembered(*reference) : std::nullopt;
  return remembered ? std::optional(remembered->record) : std::nullopt;
}

Outcome<control::SwarmsReport> Mediator::swarms(const std::string& target) {
  auto layers = layers_in_swarms();
  if (target.empty()) return neighbours_.swarms(layers);
  if (const auto record = record_of(target)) return neighbours_.swarms(layers_of(*record));
  std::erase_if(layers, [&](const auto& layer) {
    return !layer.digest.to_string().starts_with(target) && !layer.digest.hex().starts_with(target);
  });
  if (!layers.empty()) return neighbours_.swarms(layers);
  return Failure{Fault::not_found, "'" + target +
                                       "' is neither an image that was mounted or pulled here, nor "
                                       "the directory of a mount, nor a layer that is in use (see: "
                                       "swarmfs ls)"};
}

std::vector<LayerReport> Mediator::report_layers(const image::Image& image) const {
  std::vector<LayerReport> made;
  for (size_t i = 0; i < image.layers.size(); ++i) {
    const auto& layer = image.layers[i];
    made.push_back(report(*image.contents[i], layer.media_type));
    made.back().holders = neighbours_.holders(layer.digest, layer.size);
  }
  return made;
}

std::vector<LayerReport> Mediator::layers() {
  std::vector<LayerReport> made;
  const auto open = images_.layers();
  for (const auto& digest : store_.layers()) {
    if (const auto found = open.find(digest); found != open.end()) {
      made.push_back(report(*found->second.second, ""));
      continue;
    }
    if (const auto size = store_.size_of(digest)) made.push_back(report_stored(digest, *size));
  }
  return made;
}

LayerReport Mediator::report_stored(const util::Digest& digest, uint64_t size) {
  LayerReport one;
  one.digest = digest.to_string();
  one.size = size;
  const auto stored = store_.open(digest, size);
  one.bytes_present = stored->bytes_present();
  one.verified = stored->verified();
  one.indexed = store_.load_document("index/" + digest.hex()).has_value();
  one.why = "not mounted";
  return one;
}

Outcome<std::string> Mediator::mount(const control::MountOrder& order) {
  const auto reference = oci::Reference::parse(order.reference);
  if (!reference) return reference.failure();
  const auto platform = platform_of(order.platform);
  if (!platform) return platform.failure();
  if (!util::mount_flags(order.options))
    return Failure{Fault::invalid, "unknown mount options: " + order.options};
  return images_.mount(*reference, {order.directory, order.pin, order.options}, *platform)->id();
}

Outcome<std::string> Mediator::pull(const std::string& text, const std::string& platform_text) {
  const auto reference = oci::Reference::parse(text);
  if (!reference) return reference.failure();
  const auto platform = platform_of(platform_text);
  if (!platform) return platform.failure();
  return images_.pull(*reference, *platform)->id();
}

Outcome<std::string> Mediator::preheat(const control::PreheatOrder& order) {
  const auto reference = oci::Reference::parse(order.reference);
  if (!reference) return reference.failure();
  if (!order.platform.empty())
    if (const auto platform = oci::Platform::parse(order.platform); !platform)
      return platform.failure();
  return preheater_.start(order);
}

Outcome<util::Done> Mediator::umount(const std::string& directory) {
  return images_.umount(directory);
}

Outcome<control::JobReport> Mediator::job(const std::string& id, std::chrono::milliseconds wait) {
  if (auto preheat = preheater_.job(id, wait)) return std::move(*preheat);
  const auto job = images_.job(id);
  if (!job) return Failure{Fault::not_found, "no job " + id};
  const auto view = job->wait(wait);
  control::JobReport made;
  made.id = job->id();
  made.kind = job->kind();
  made.state = to_string(view.state);
  made.error = view.error;
  made.bytes_total = view.bytes_total;
  made.bytes_done = view.bytes_done;
  made.seconds = view.seconds;
  made.sources = view.sources;
  if (job->kind() == "mount" && view.state == image::Job::State::done)
    made.image_path = image_path(view.image).string();
  return made;
}

Outcome<util::Done> Mediator::cancel(const std::string& id) {
  if (preheater_.cancel(id)) return util::Done{};
  const auto job = images_.job(id);
  if (!job) return Failure{Fault::not_found, "no job " + id};
  job->cancel();
  return util::Done{};
}

void Mediator::confirm(const std::string& directory) {
  images_.confirm(directory);
}

Outcome<control::ExplainReport> Mediator::explain(const std::string& target) {
  const auto report_live = [this](const image::Image& image) {
    return control::ExplainReport{image.reference.to_string(), image.manifest.to_string(),
                                  report_layers(image)};
  };
  for (const auto& record : images_.mounted())
    for (const auto& mount : record.mounts)
      if (mount.directory == target)
        if (const auto image = images_.image(record.name())) return report_live(*image);
  if (const auto reference = oci::Reference::parse(target)) {
    if (const auto remembered = images_.remembered(*reference)) {
      const auto image = images_.image(remembered->record.name());
      return image ? report_live(*image) : report_remembered(*remembered);
    }
  }
  return Failure{Fault::not_found,
                 "'" + target +
                     "' is neither an image that was mounted or pulled here nor the directory of "
                     "a mount (see: swarmfs ls)"};
}

control::ExplainReport Mediator::report_remembered(
    const image::ImageLibrary::Remembered& remembered) {
  const auto& record = remembered.record;
  control::ExplainReport made{record.reference.to_string(), record.resolved.digest.to_string(), {}};
  for (size_t i = 0; i < record.layers.size(); ++i) {
    const auto& layer = record.layers[i];
    const auto& content = remembered.contents[i];
    made.layers.push_back(content ? report(*content, layer.media_type)
                                  : report_stored(layer.digest, layer.size));
  }
  return made;
}

uint64_t Mediator::evict() {
  return store_.evict_all();
}

std::string Mediator::metrics() {
  open_mounts_.set(static_cast<double>(mounts().size()));
  return metrics_.text();
}

}  // namespace swarmfs::daemon
