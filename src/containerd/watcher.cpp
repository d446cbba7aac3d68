// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "containerd/watcher.h"

#include <algorithm>
#include <random>

#include "containerd/choice.h"
#include "util/backoff.h"
#include "util/log.h"
#include "util/low_priority.h"

namespace swarmfs::containerd {

using util::Done;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

/// Of an index, that are looked for in the content store.
constexpr size_t kMostManifests = 64;

/// What is no trouble of the connection's is let pass.
template <class T>
bool ends_watch(const Outcome<T>& outcome) {
  return !outcome &&
         (util::may_pass(outcome.failure().fault) || outcome.failure().fault == Fault::cancelled);
}

}  // namespace

Watcher::Watcher(WatcherOptions options, Runtime& runtime, Taker& taker)
    : options_(std::move(options)), runtime_(runtime), taker_(taker), thread_([this] { run(); }) {}

Watcher::~Watcher() {
  stop();
  thread_.join();
}

void Watcher::stop() {
  stop_.request_stop();
  runtime_.interrupt();
}

bool Watcher::is_wanted(const std::string& name_space) const {
  return options_.name_spaces.empty() ||
         std::find(options_.name_spaces.begin(), options_.name_spaces.end(), name_space) !=
             options_.name_spaces.end();
}

void Watcher::say(const std::string& trouble) {
  const bool watched = trouble.empty();
  if (told_watched_ != watched) {
    if (watched)
      util::log::info("containerd at {} is watched; its layers are in {}", options_.address,
                      store_->root().string());
    else
      util::log::warning("containerd at {} cannot be watched, which is tried again: {}",
                         options_.address, trouble);
  }
  told_watched_ = watched;
  *trouble_.lock() = trouble;
}

void Watcher::run() {
  util::take_low_priority();
  std::minstd_rand random(std::random_device{}());
  unsigned failures = 0;
  while (!stop_.stop_requested()) {
    Failure ended;
    store_.reset();
    const auto began = std::chrono::steady_clock::now();
    try {
      ended = watch();
    } catch (const std::exception& error) {
      ended = {Fault::unavailable, error.what()};
    }
    if (stop_.stop_requested()) return;
    const bool lasted = std::chrono::steady_clock::now() - began > options_.longest;
    failures = store_ && lasted ? 1 : failures + 1;
    say(ended.message);
    const double turn = std::uniform_real_distribution(0.0, 0.999)(random);
    const auto delay = util::retry_delay({options_.pause, options_.longest}, failures, turn);
    std::unique_lock pausing(pausing_);
    pause_over_.wait_for(pausing, stop_.get_token(), delay, [] { return false; });
  }
}

Failure Watcher::watch() {
  runtime_.connect();
  auto root = options_.content.empty() ? runtime_.content_root()
                                       : Outcome<std::filesystem::path>(options_.content);
  if (!root) return root.failure();
  // Also what needs no answer about the root shows that containerd is there.
  if (const auto there = runtime_.namespaces(); !there) return there.failure();
  store_.emplace(std::move(*root));
  say("");
  // An event that came while events were being asked for is nobody's: so all is looked at twice.
  auto pause = options_.again;
  auto next = std::chrono::steady_clock::now();
  while (!stop_.stop_requested()) {
    if (std::chrono::steady_clock::now() >= next) {
      if (const auto looked = look_at_all(); !looked) return looked.failure();
      next = std::chrono::steady_clock::now() + std::exchange(pause, options_.period);
    }
    const auto event = runtime_.next_event(next);
    if (!event) return event.failure();
    if (!*event || !is_wanted((*event)->name_space)) continue;
    const auto image = runtime_.image(**event);
    if (ends_watch(image)) return image.failure();
    if (!image) continue;  // gone again
    if (const auto looked = look_at((*event)->name_space, *image, true); !looked)
      return looked.failure();
  }
  return {Fault::cancelled, "stopped"};
}

Outcome<Done> Watcher::look_at_all() {
  const auto name_spaces = runtime_.namespaces();
  if (!name_spaces) return name_spaces.failure();
  for (const auto& name_space : *name_spaces) {
    if (!is_wanted(name_space)) continue;
    const auto images = runtime_.images(name_space);
    if (ends_watch(images)) return images.failure();
    if (!images) {
      util::log::warning("containerd: the images of namespace {}: {}", name_space,
                         images.failure().message);
      continue;
    }
    for (const auto& image : *images) {
      if (stop_.stop_requested()) return Done{};
      if (const auto looked = look_at(name_space, image, false); !looked) return looked;
    }
  }
  return Done{};
}

Outcome<Done> Watcher::look_at(const std::string& name_space, const NamedImage& image,
                               bool changed) {
  const auto reference = reference_of(image.name, image.target);
  auto document = reference ? store_->read(image.target)
                            : Outcome<util::Bytes>(Failure{Fault::not_found, "no reference"});
  if (!document) {
    if (document.failure().fault == Fault::corrupt)
      util::log::warning("containerd: image {}: {}", image.name, document.failure().message);
    return Done{};
  }
  const auto parsed = oci::parse_manifest(*document);
  const auto* index = parsed ? std::get_if<oci::Index>(&*parsed) : nullptr;
  if (!index)
    return offer(name_space, {*reference, oci::Platform::host(), std::move(*document), {}, {}, {}},
                 changed);
  size_t looked_for = 0;
  for (const auto& one : index->manifests) {
    if (++looked_for > kMostManifests || stop_.stop_requested()) break;
    auto manifest = store_->read(one.digest);
    if (!manifest) continue;  // of another platform, as a rule
    auto offered = offer(name_space,
                         {*reference_of(image.name, one.digest),
                          one.platform.value_or(oci::Platform::host()),
                          std::move(*manifest),
                          *document,
                          {},
                          {}},
                         changed);
    if (!offered) return offered;
  }
  return Done{};
}

std::vector<oci::Descriptor> Watcher::wanted(const oci::Manifest& manifest,
                                             const chunk::Origin& origin, bool changed) const {
  std::vector<oci::Descriptor> made;
  std::set<util::Digest> seen;
  for (const auto& layer : manifest.layers)
    if (layer.size > 0 && store_->has(layer.digest, layer.size) &&
        seen.insert(layer.digest).second && (changed || !done_.contains({origin, layer.digest})))
      made.push_back(layer);
  return made;
}

Outcome<Watcher::Whence> Watcher::whence(const util::Digest& layer, const chunk::Origin& origin,
                                         const std::string& name_space,
                                         const std::vector<std::string>& name_spaces) {
  Whence made;
  for (const auto& one : name_spaces) {
    const auto labels = runtime_.labels(one, layer);
    if (ends_watch(labels)) return labels.failure();
    if (!labels) continue;
    made.here = made.here || (one == name_space && came_from(*labels, origin));
    made.elsewhere = made.elsewhere || is_elsewhere_too(*labels, origin);
  }
  return made;
}

Outcome<Done> Watcher::offer(const std::string& name_space, HeldImage image, bool changed) {
  const auto parsed = oci::parse_manifest(image.manifest);
  const auto* manifest = parsed ? std::get_if<oci::Manifest>(&*parsed) : nullptr;
  const chunk::Origin origin{image.reference.registry, image.reference.repository};
  const auto layers =
      manifest ? wanted(*manifest, origin, changed) : std::vector<oci::Descriptor>();
  if (layers.empty()) return Done{};
  const auto said = runtime_.labels(name_space, *image.reference.digest);
  if (ends_watch(said)) return said.failure();
  if (!said || !came_from(*said, origin)) return Done{};
  const auto name_spaces = runtime_.namespaces();
  if (!name_spaces) return name_spaces.failure();
  for (const auto& layer : layers) {
    const auto found = whence(layer.digest, origin, name_space, *name_spaces);
    if (!found) return found.failure();
    if (found->here)
      image.layers.push_back(
          {{layer.digest, layer.size, {origin}}, store_->path(layer.digest), found->elsewhere});
  }
  if (image.layers.empty()) return Done{};
  if (auto config = store_->read(manifest->config.digest)) image.config = std::move(*config);
  for (const auto& layer : taker_.take(image, stop_.get_token())) done_.insert({origin, layer});
  return Done{};
}

}  // namespace swarmfs::containerd
