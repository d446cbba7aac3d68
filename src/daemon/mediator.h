// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>

#include "chunk/store.h"
#include "control/mediator.h"
#include "daemon/hand_over.h"
#include "daemon/neighbours.h"
#include "daemon/preheater.h"
#include "fetch/fetcher.h"
#include "image/image_library.h"
#include "util/metrics.h"

namespace swarmfs::daemon {

/// control::Mediator over the daemon's objects.
class Mediator final : public control::Mediator {
 public:
  /// `hand_over` may be null: nothing is handed over.
  Mediator(image::ImageLibrary& images, chunk::Store& store, fetch::Fetcher& fetcher,
           const Neighbours& neighbours, Preheater& preheater, const HandOver* hand_over,
           util::Metrics& metrics, std::filesystem::path mount_point);

  control::StatusReport status() override;
  std::vector<control::MountReport> mounts() override;
  util::Outcome<std::vector<control::MountReport>> mounts_of(const std::string& reference) override;
  std::vector<control::LayerReport> layers() override;
  std::vector<control::PeerReport> peers() override;
  util::Outcome<control::SwarmsReport> swarms(const std::string& target) override;
  util::Outcome<std::string> mount(const control::MountOrder& order) override;
  util::Outcome<std::string> pull(const std::string& reference,
                                  const std::string& platform) override;
  util::Outcome<std::string> preheat(const control::PreheatOrder& order) override;
  util::Outcome<util::Done> umount(const std::string& directory) override;
  util::Outcome<control::JobReport> job(const std::string& id,
                                        std::chrono::milliseconds wait) override;
  util::Outcome<util::Done> cancel(const std::string& id) override;
  void confirm(const std::string& directory) override;
  util::Outcome<control::ExplainReport> explain(const std::string& target) override;
  uint64_t evict() override;
  std::string metrics() override;

  /// Where an image's tree is to be found.
  [[nodiscard]] std::filesystem::path image_path(const std::string& name) const;

 private:
  [[nodiscard]] control::LayerReport report_stored(const util::Digest& digest, uint64_t size);
  [[nodiscard]] control::ExplainReport report_remembered(
      const image::ImageLibrary::Remembered& remembered);
  /// What was mounted or pulled as this reference, or is mounted on this directory.
  [[nodiscard]] std::optional<image::ImageRecord> record_of(const std::string& target);
  [[nodiscard]] std::vector<chunk::LayerRef> layers_in_swarms() const;
  [[nodiscard]] std::vector<control::LayerReport> report_layers(const image::Image& image) const;

  image::ImageLibrary& images_;
  chunk::Store& store_;
  fetch::Fetcher& fetcher_;
  const Neighbours& neighbours_;
  Preheater& preheater_;
  const HandOver* const hand_over_;
  util::Metrics& metrics_;
  util::Metrics::Gauge& open_mounts_;
  const std::filesystem::path mount_point_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace swarmfs::daemon
