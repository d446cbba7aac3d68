// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/image_library.h"

#include <algorithm>
#include <future>
#include <nlohmann/json.hpp>

#include "util/log.h"

namespace swarmfs::image {

using nlohmann::json;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr size_t kFinishedJobs = 64;
constexpr size_t kRunningJobs = 32;

std::string document_name(const std::string& encoded) {
  return "image/" + encoded;
}

}  // namespace

ImageLibrary::ImageLibrary(content::LayerLibrary& library, fetch::Fetcher& fetcher,
                           chunk::Store& store, ManifestSource& manifests, util::Timers& timers,
                           Options options)
    : library_(library),
      fetcher_(fetcher),
      store_(store),
      manifests_(manifests),
      timers_(timers),
      options_(options),
      slots_(store) {}

ImageLibrary::~ImageLibrary() {
  stop();
  std::list<Running> threads;
  threads.swap(state_.lock()->threads);
  for (auto& running : threads) running.thread.join();
}

void ImageLibrary::stop() {
  for (const auto& image : images()) save_profile(*image);
  std::vector<util::Operation> fillings;
  auto state = state_.lock();
  state->stopping = true;
  for (auto& [encoded, known] : state->images)
    for (auto& operation : known.fillings) fillings.push_back(std::move(operation));
  state.unlock();
}

void ImageLibrary::on_change(std::function<void(const std::string&)> callback) {
  on_change_ = std::move(callback);
}

std::shared_ptr<Job> ImageLibrary::start(const std::string& kind, const oci::Reference& reference,
                                         std::function<std::optional<Failure>(Job&)> work) {
  auto state = state_.lock();
  auto job = std::make_shared<Job>(std::to_string(state->next_job++), kind, reference.to_string());
  state->jobs[job->id()] = job;
  if (state->stopping || state->jobs.size() - state->finished.size() > kRunningJobs) {
    job->end(Failure{Fault::unavailable, "too many jobs are running, or the daemon stops"});
    state->finished.push_back(job->id());
    return job;
  }
  run_beside(*state, [this, job, work = std::move(work)] {
    std::optional<Failure> failure;
    try {
      failure = work(*job);
    } catch (const std::exception& error) {
      failure = Failure{Fault::unavailable, error.what()};
    }
    if (failure) util::log::warning("{} {}: {}", job->kind(), job->reference(), failure->message);
    job->end(std::move(failure));
    auto ended = state_.lock();
    ended->finished.push_back(job->id());
    while (ended->finished.size() > kFinishedJobs) {
      ended->jobs.erase(ended->finished.front());
      ended->finished.pop_front();
    }
  });
  return job;
}

void ImageLibrary::run_beside(State& state, std::function<void()> work) {
  for (auto at = state.threads.begin(); at != state.threads.end();) {
    if (!at->ended) {
      ++at;
      continue;
    }
    at->thread.join();
    at = state.threads.erase(at);
  }
  auto& running = state.threads.emplace_back();
  running.thread = std::thread([&running, work = std::move(work)] {
    try {
      work();
    } catch (const std::exception& error) {
      util::log::error("image: {}", error.what());
    }
    running.ended = true;
  });
}

std::shared_ptr<Job> ImageLibrary::job(const std::string& id) const {
  auto state = state_.lock();
  const auto found = state->jobs.find(id);
  return found == state->jobs.end() ? nullptr : found->second;
}

Outcome<Resolved> ImageLibrary::resolve(const oci::Reference& reference,
                                        const oci::Platform& platform) {
  auto resolved = manifests_.resolve(reference, platform);
  if (resolved || resolved.failure().fault == Fault::not_found ||
      resolved.failure().fault == Fault::denied)
    return resolved;
  auto record = load(reference.encoded());
  if (!record) return resolved;
  util::log::warning("{}: {}; going on with the manifest of last time", reference.to_string(),
                     resolved.failure().message);
  return std::move(record->resolved);
}

Outcome<std::shared_ptr<Image>> ImageLibrary::open(const oci::Reference& reference,
                                                   const Resolved& resolved, Job* job) {
  auto parsed = oci::parse_manifest(resolved.manifest);
  if (!parsed) return parsed.failure();
  const auto* manifest = std::get_if<oci::Manifest>(&*parsed);
  if (!manifest) return Failure{Fault::corrupt, "an index where a manifest was expected"};
  auto image = std::make_shared<Image>();
  image->reference = reference;
  image->encoded = reference.encoded();
  image->manifest = resolved.digest;
  image->layers = manifest->layers;
  if (auto failure = open_layers(*image, job)) return *failure;
  std::vector<std::shared_ptr<const layer::LayerIndex>> indexes;
  for (const auto& content : image->contents) indexes.push_back(content->index);
  image->tree = std::make_shared<const MergedTree>(indexes);
  image->slot = slots_.slot("image " + image->encoded + " " + resolved.digest.hex());
  for (const auto& layer : image->layers)
    image->layer_slots.push_back(slots_.slot("layer " + layer.digest.hex()));
  return image;
}

std::optional<Failure> ImageLibrary::open_layers(Image& image, Job* job) {
  std::vector<std::shared_ptr<fetch::Layer>> layers;
  std::vector<std::future<Outcome<std::shared_ptr<content::Content>>>> opening;
  for (const auto& layer : image.layers) {
    const chunk::LayerRef ref{
        layer.digest, layer.size, {{image.reference.registry, image.reference.repository}}};
    layers.push_back(fetcher_.open(ref));
    opening.push_back(std::async(std::launch::async, [this, ref] { return library_.open(ref); }));
  }
  if (job) job->set_layers(layers);
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

std::shared_ptr<Job> ImageLibrary::mount(const oci::Reference& reference,
                                         const std::string& directory, bool pin,
                                         const oci::Platform& platform) {
  return start("mount", reference, [=, this](Job& job) -> std::optional<Failure> {
    const auto resolved = resolve(reference, platform);
    if (!resolved) return resolved.failure();
    auto image = open(reference, *resolved, &job);
    if (!image) return image.failure();
    publish(*image, {directory, pin});
    save((*image)->encoded, *resolved, mounts()[(*image)->encoded]);
    fill(*image);
    return std::nullopt;
  });
}

void ImageLibrary::publish(const std::shared_ptr<Image>& image, const Mount& mount) {
  for (const auto& content : image->contents)
    if (mount.pinned) content->bytes->stored().set_pinned(true);
  {
    auto state = state_.lock();
    for (auto& [encoded, known] : state->images)
      std::erase_if(known.mounts,
                    [&](const Mount& other) { return other.directory == mount.directory; });
    auto& known = state->images[image->encoded];
    known.image = image;
    known.mounts.push_back(mount);
  }
  if (on_change_) on_change_(image->encoded);
}

std::shared_ptr<Job> ImageLibrary::pull(const oci::Reference& reference,
                                        const oci::Platform& platform) {
  return start("pull", reference, [=, this](Job& job) -> std::optional<Failure> {
    const auto resolved = resolve(reference, platform);
    if (!resolved) return resolved.failure();
    auto image = open(reference, *resolved, &job);
    if (!image) return image.failure();
    if (auto failure = bring_all(**image)) return failure;
    save((*image)->encoded, *resolved, mounts()[(*image)->encoded]);
    return std::nullopt;
  });
}

std::optional<Failure> ImageLibrary::bring_all(const Image& image) {
  for (const auto& content : image.contents) {
    std::promise<Outcome<util::Done>> promise;
    auto future = promise.get_future();
    const auto operation = fetcher_.bring_in(
        content->bytes, chunk::Class::pull,
        [&](Outcome<util::Done> outcome) { promise.set_value(std::move(outcome)); });
    while (future.wait_for(std::chrono::milliseconds(200)) != std::future_status::ready)
      if (state_.lock()->stopping) return Failure{Fault::cancelled, "the daemon stops"};
    const auto outcome = future.get();
    if (!outcome && outcome.failure().fault != Fault::corrupt) return outcome.failure();
    const auto verified = outcome ? library_.verify(*content) : library_.settle(*content);
    if (!verified && verified.failure().fault != Fault::not_found) return verified.failure();
  }
  return std::nullopt;
}

Outcome<util::Done> ImageLibrary::umount(const std::string& directory) {
  std::shared_ptr<const Image> gone;
  std::vector<util::Operation> fillings;
  std::string encoded;
  std::vector<Mount> left;
  {
    auto state = state_.lock();
    for (auto& [name, known] : state->images)
      if (std::erase_if(known.mounts,
                        [&](const Mount& mount) { return mount.directory == directory; })) {
        encoded = name;
        left = known.mounts;
      }
    if (encoded.empty())
      return Failure{Fault::not_found, "nothing of ours is mounted on " + directory};
    if (left.empty()) {
      auto& known = state->images[encoded];
      gone = known.image;
      fillings.swap(known.fillings);
      state->images.erase(encoded);
    }
  }
  fillings.clear();
  if (gone) save_profile(*gone);
  if (gone)
    for (const auto& content : gone->contents) content->bytes->stored().set_pinned(false);
  if (const auto record = load(encoded)) save(encoded, record->resolved, left);
  if (gone && on_change_) on_change_(encoded);
  return util::Done{};
}

void ImageLibrary::save(const std::string& encoded, const Resolved& resolved,
                        const std::vector<Mount>& mounts) {
  json record = {{"digest", resolved.digest.to_string()},
                 {"manifest", util::as_text(resolved.manifest)},
                 {"mounts", json::array()}};
  for (const auto& mount : mounts)
    record["mounts"].push_back({{"directory", mount.directory}, {"pinned", mount.pinned}});
  std::string reference = encoded;
  for (const auto& [code, plain] :
       {std::pair{"%2F", "/"}, {"%3A", ":"}, {"%40", "@"}, {"%25", "%"}})
    for (size_t at; (at = reference.find(code)) != std::string::npos;)
      reference.replace(at, 3, plain);
  record["reference"] = reference;
  store_.save_document(document_name(encoded),
                       util::as_bytes(record.dump(-1, ' ', false, json::error_handler_t::replace)));
}

std::optional<ImageLibrary::Record> ImageLibrary::load(const std::string& encoded) {
  const auto document = store_.load_document(document_name(encoded));
  if (!document) return std::nullopt;
  try {
    const json saved = json::parse(util::as_text(*document));
    const std::string manifest = saved.at("manifest");
    const auto bytes = util::as_bytes(manifest);
    const auto reference = oci::Reference::parse(saved.at("reference").get<std::string>());
    const auto digest = util::Digest::parse(saved.at("digest").get<std::string>());
    if (!reference || !digest || util::Sha256::of(bytes) != *digest) return std::nullopt;
    Record record{*reference, {*digest, {bytes.begin(), bytes.end()}}, {}};
    for (const auto& mount : saved.at("mounts"))
      record.mounts.push_back({mount.at("directory"), mount.at("pinned")});
    return record;
  } catch (const json::exception&) {
    util::log::warning("the record of image {} is unreadable", encoded);
    return std::nullopt;
  }
}

std::map<std::string, std::string> ImageLibrary::restore() {
  std::map<std::string, std::string> restored;
  for (const auto& name : store_.documents("image/")) {
    const std::string encoded = name.substr(std::string("image/").size());
    const auto record = load(encoded);
    if (!record || record->mounts.empty()) continue;
    auto image = open(record->reference, record->resolved, nullptr);
    if (!image) {
      util::log::error("{} cannot be mounted again: {}", record->reference.to_string(),
                       image.failure().message);
      continue;
    }
    for (const auto& mount : record->mounts) {
      publish(*image, mount);
      restored[mount.directory] = (*image)->encoded;
    }
    fill(*image);
  }
  return restored;
}

std::vector<std::shared_ptr<const Image>> ImageLibrary::images() const {
  std::vector<std::shared_ptr<const Image>> found;
  auto state = state_.lock();
  for (const auto& [encoded, known] : state->images) found.push_back(known.image);
  return found;
}

std::shared_ptr<const Image> ImageLibrary::image(const std::string& encoded) const {
  auto state = state_.lock();
  const auto found = state->images.find(encoded);
  return found == state->images.end() ? nullptr : found->second.image;
}

std::shared_ptr<const Image> ImageLibrary::image_by_slot(uint32_t slot) const {
  auto state = state_.lock();
  for (const auto& [encoded, known] : state->images)
    if (known.image->slot == slot) return known.image;
  return nullptr;
}

std::map<std::string, std::vector<Mount>> ImageLibrary::mounts() const {
  std::map<std::string, std::vector<Mount>> found;
  auto state = state_.lock();
  for (const auto& [encoded, known] : state->images) found[encoded] = known.mounts;
  return found;
}

std::shared_ptr<const content::Content> ImageLibrary::layer_by_slot(uint32_t slot) const {
  auto state = state_.lock();
  for (const auto& [encoded, known] : state->images)
    for (size_t i = 0; i < known.image->layer_slots.size(); ++i)
      if (known.image->layer_slots[i] == slot) return known.image->contents[i];
  return nullptr;
}

std::map<util::Digest, std::pair<uint32_t, std::shared_ptr<const content::Content>>>
ImageLibrary::layers() const {
  std::map<util::Digest, std::pair<uint32_t, std::shared_ptr<const content::Content>>> found;
  auto state = state_.lock();
  for (const auto& [encoded, known] : state->images)
    for (size_t i = 0; i < known.image->layers.size(); ++i)
      found[known.image->layers[i].digest] = {known.image->layer_slots[i],
                                              known.image->contents[i]};
  return found;
}

}  // namespace swarmfs::image
