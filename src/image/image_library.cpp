// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/image_library.h"

#include "util/log.h"

namespace swarmfs::image {

using util::Failure;
using util::Fault;

namespace {

constexpr size_t kFinishedJobs = 64;
constexpr size_t kRunningJobs = 32;

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
      slots_(store),
      records_(store) {}

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
  for (auto& [name, known] : state->images) {
    fillings.push_back(std::move(known.learning));
    fillings.push_back(std::move(known.prefetching));
    fillings.push_back(std::move(known.filling));
  }
  stopped_.notify_all();
  state.unlock();
}

util::Operation ImageLibrary::on_change(Changes callbacks) {
  auto listener = std::make_shared<Listener>();
  listener->callbacks = std::move(callbacks);
  state_.lock()->listener = listener;
  return util::Operation([listener] { listener->gate.close(); });
}

void ImageLibrary::changed() {
  const auto listener = state_.lock()->listener;
  if (listener) listener->gate.run([&] { listener->callbacks.listing(); });
}

void ImageLibrary::doubt(const Image& image) {
  const auto listener = state_.lock()->listener;
  if (listener) listener->gate.run([&] { listener->callbacks.truth(image); });
}

void ImageLibrary::doubt_readers_of(const content::Content& content, bool corrupt) {
  const uint64_t generation = content.standing->generation();
  for (const auto& image : images())
    for (size_t i = 0; i < image->contents.size(); ++i)
      if (image->contents[i].get() == &content &&
          (corrupt || image->generations[i] != generation)) {
        doubt(*image);
        break;
      }
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

std::vector<std::shared_ptr<const Image>> ImageLibrary::images() const {
  std::vector<std::shared_ptr<const Image>> found;
  auto state = state_.lock();
  for (const auto& [name, known] : state->images) found.push_back(known.image);
  return found;
}

std::shared_ptr<const Image> ImageLibrary::image(const std::string& name) const {
  auto state = state_.lock();
  const auto found = state->images.find(name);
  return found == state->images.end() ? nullptr : found->second.image;
}

std::shared_ptr<const Image> ImageLibrary::image_by_slot(uint32_t slot) const {
  auto state = state_.lock();
  for (const auto& [name, known] : state->images)
    if (known.image->slot == slot) return known.image;
  return nullptr;
}

std::map<std::string, std::shared_ptr<const Image>> ImageLibrary::newest() const {
  std::map<std::string, std::shared_ptr<const Image>> found;
  for (const auto& record : records_.mounted())
    if (auto live = image(record.name())) found[encoded(record.reference)] = std::move(live);
  return found;
}

std::optional<ImageLibrary::Remembered> ImageLibrary::remembered(const oci::Reference& reference) {
  auto record = records_.newest(reference);
  if (!record) return std::nullopt;
  Remembered made{std::move(*record), {}};
  for (const auto& layer : made.record.layers)
    made.contents.push_back(library_.open_known(
        {layer.digest, layer.size, {{reference.registry, reference.repository}}}));
  return made;
}

std::shared_ptr<const content::Content> ImageLibrary::layer_by_slot(uint32_t slot) const {
  auto state = state_.lock();
  for (const auto& [name, known] : state->images)
    for (size_t i = 0; i < known.image->layer_slots.size(); ++i)
      if (known.image->layer_slots[i] == slot) return known.image->contents[i];
  return nullptr;
}

std::map<util::Digest, std::pair<uint32_t, std::shared_ptr<const content::Content>>>
ImageLibrary::layers() const {
  std::map<util::Digest, std::pair<uint32_t, std::shared_ptr<const content::Content>>> found;
  auto state = state_.lock();
  for (const auto& [name, known] : state->images)
    for (size_t i = 0; i < known.image->layers.size(); ++i)
      found[known.image->layers[i].digest] = {known.image->layer_slots[i],
                                              known.image->contents[i]};
  return found;
}

}  // namespace swarmfs::image
