// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/job.h"

#include <algorithm>

namespace swarmfs::image {

namespace {

constexpr const char* kCache = "cache";

/// What was brought in since start; reads of what is here are no news of the job.
std::map<std::string, uint64_t> brought(const std::vector<std::shared_ptr<fetch::Layer>>& layers) {
  std::map<std::string, uint64_t> total;
  for (const auto& layer : layers)
    for (const auto& [source, bytes] : layer->bytes_by_source()) total[source] += bytes;
  total.erase(kCache);
  return total;
}

uint64_t present(const std::vector<std::shared_ptr<fetch::Layer>>& layers) {
  uint64_t bytes = 0;
  for (const auto& layer : layers)
    bytes += std::min(layer->stored().bytes_present(), layer->ref().size);
  return bytes;
}

}  // namespace

Job::Job(std::string id, std::string kind, std::string reference)
    : id_(std::move(id)), kind_(std::move(kind)), reference_(std::move(reference)) {}

void Job::set_layers(std::vector<std::shared_ptr<fetch::Layer>> layers) {
  auto inside = inside_.lock();
  inside->before = brought(layers);
  inside->were_here = present(layers);
  inside->layers = std::move(layers);
}

Job::View Job::view(const Inside& inside) const {
  if (inside.state != State::running) return inside.last;
  View made;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started_;
  made.seconds = took.count();
  for (const auto& layer : inside.layers) made.bytes_total += layer->ref().size;
  made.bytes_done = present(inside.layers);
  made.image = inside.image;
  made.sources = brought(inside.layers);
  for (auto& [source, bytes] : made.sources)
    if (const auto before = inside.before.find(source); before != inside.before.end())
      bytes -= before->second;
  if (!inside.layers.empty()) made.sources[kCache] = inside.were_here;
  return made;
}

bool Job::commit(std::string image) {
  auto inside = inside_.lock();
  if (!inside->cancelled) inside->image = std::move(image);
  return !inside->cancelled;
}

void Job::cancel() {
  inside_.lock()->cancelled = true;
}

bool Job::cancelled() const {
  return inside_.lock()->cancelled;
}

void Job::end(std::optional<util::Failure> failure) {
  auto inside = inside_.lock();
  inside->last = view(*inside);
  inside->last.state = inside->state = failure ? State::failed : State::done;
  inside->last.error = std::move(failure);
  // The layers are not kept open by a job that nobody asks about any more.
  inside->layers.clear();
  changed_.notify_all();
}

Job::View Job::wait(std::chrono::milliseconds most) {
  auto inside = inside_.lock();
  inside.wait_until(changed_, std::chrono::steady_clock::now() + most,
                    [&] { return inside->state != State::running; });
  return view(*inside);
}

}  // namespace swarmfs::image
