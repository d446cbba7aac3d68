// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/hand_over.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "util/log.h"

namespace swarmfs::daemon {

using cache::Adopted;
using containerd::HeldImage;
using util::Fault;

namespace {

constexpr const char* kHandedOver = "swarmfs_handed_over_bytes_total";
constexpr const char* kHandedOverHelp = "Bytes of containerd's layers that the cache took in";

}  // namespace

HandOver::HandOver(const ContainerdSection& section, Parts parts, util::Metrics& metrics)
    : section_(section),
      parts_(parts),
      shared_counter_(metrics.counter(kHandedOver, kHandedOverHelp, {{"how", "shared"}})),
      copied_counter_(metrics.counter(kHandedOver, kHandedOverHelp, {{"how", "copied"}})),
      runtime_(section.address.string()) {}

void HandOver::start() {
  containerd::WatcherOptions options;
  options.address = section_.address.string();
  options.name_spaces = section_.namespaces;
  options.content = section_.content;
  watcher_ = std::make_unique<containerd::Watcher>(options, runtime_, *this);
}

void HandOver::stop() {
  if (watcher_) watcher_->stop();
}

control::ContainerdReport HandOver::report() const {
  return {section_.address.string(), watcher_ ? watcher_->trouble() : "", *refused_.lock(), layers_,
          bytes_};
}

std::vector<util::Digest> HandOver::take(const HeldImage& image, const std::stop_token& stop) {
  image::Resolved resolved{*image.reference.digest, image.manifest};
  if (image.index) resolved.indexes.push_back(*image.index);
  std::vector<util::Digest> settled;
  std::vector<util::Digest> elsewhere;
  for (const auto& layer : image.layers)
    if (layer.elsewhere) elsewhere.push_back(layer.ref.digest);
  if (!parts_.catalog.found(image.reference, image.platform, resolved, image.config, elsewhere)) {
    if (told_private_.insert(resolved.digest).second)
      util::log::info("containerd: {} names layers of other private repositories: not handed over",
                      image.reference.to_string());
    return settled;
  }
  for (const auto& layer : image.layers) {
    if (stop.stop_requested()) break;
    try {
      if (take_layer(layer, stop)) settled.push_back(layer.ref.digest);
    } catch (const std::exception& error) {
      util::log::error("containerd: layer {}: {}", layer.ref.digest.short_hex(), error.what());
    }
  }
  return settled;
}

bool HandOver::take_layer(const HeldImage::Layer& layer, const std::stop_token& stop) {
  const util::UniqueFd file(
      ::open(layer.file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) return false;  // gone again
  // In whose name it is here is known before anything of it is.
  std::shared_ptr<fetch::Layer> named;
  const auto adopted = parts_.cache.adopt(
      layer.ref.digest, layer.ref.size, file.get(), section_.copy,
      [&] { named = parts_.fetcher.open(layer.ref); }, stop);
  if (!adopted) return refused(layer, adopted.failure());
  refused_.lock()->clear();
  if (*adopted != Adopted::before) count(*adopted, layer.ref.size);
  if (parts_.node) {
    parts_.node->holdings().note(layer.ref);
    if (named) parts_.node->holdings().proven(*named);
  }
  seal(layer.ref);
  if (parts_.node) parts_.node->swarm().announce(layer.ref.digest);
  return true;
}

void HandOver::count(Adopted how, uint64_t bytes) {
  (how == Adopted::shared ? shared_counter_ : copied_counter_).add(static_cast<double>(bytes));
  ++layers_;
  bytes_ += bytes;
}

/// Whether that is the end of it.
bool HandOver::refused(const HeldImage::Layer& layer, const util::Failure& why) {
  switch (why.fault) {
    case Fault::corrupt:
      util::log::error("containerd: {} is damaged and not handed over: {}", layer.file.string(),
                       why.message);
      return true;
    case Fault::invalid:
      refuse_all(fmt::format(
          "the cache cannot share the blocks of {} ({}). What helps: [cache] directory on the same "
          "XFS or btrfs, or [containerd] copy = true",
          layer.file.parent_path().string(), why.message));
      return false;
    case Fault::no_space:
      refuse_all(why.message);
      return false;
    case Fault::cancelled:
      return false;
    default:
      util::log::warning("containerd: layer {}: {}", layer.ref.digest.short_hex(), why.message);
      return false;
  }
}

/// Told once for as long as it is so.
void HandOver::refuse_all(const std::string& why) {
  if (std::exchange(*refused_.lock(), why).empty())
    util::log::warning("containerd: nothing is handed over: {}", why);
}

void HandOver::seal(const chunk::LayerRef& layer) {
  const auto content = parts_.library.open(layer);
  const auto verified =
      content ? parts_.library.verify(**content) : util::Outcome<util::Done>(content.failure());
  if (!verified)
    util::log::info("containerd: layer {}: {}", layer.digest.short_hex(),
                    verified.failure().message);
}

}  // namespace swarmfs::daemon
