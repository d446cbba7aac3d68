// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "content/layer_library.h"
#include "image/access_profile.h"
#include "image/job.h"
#include "image/merged_tree.h"
#include "image/slot_table.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "util/timers.h"

namespace swarmfs::image {

struct Resolved {
  util::Digest digest;  ///< of the image manifest (not of an index)
  util::Bytes manifest;
};

/// Who can tell what a reference stands for. daemon fills the role with the registry. Blocking.
class ManifestSource {
 public:
  virtual ~ManifestSource() = default;
  virtual util::Outcome<Resolved> resolve(const oci::Reference& reference,
                                          const oci::Platform& platform) = 0;
};

/// An image that is there to be read: immutable, shared.
struct Image {
  oci::Reference reference;
  std::string encoded;
  util::Digest manifest;
  std::vector<oci::Descriptor> layers;                      ///< bottom first
  std::vector<std::shared_ptr<content::Content>> contents;  ///< of the same order
  std::shared_ptr<const MergedTree> tree;
  uint32_t slot = 0;
  std::vector<uint32_t> layer_slots;
};

struct Mount {
  std::string directory;
  bool pinned = false;
};

/// Images that are mounted or pulled. Mounts survive a restart in the store's documents
/// "image/<encoded>". Any thread; each job has a thread of its own, ended by the destructor.
class ImageLibrary {
 public:
  struct Options {
    bool backfill = true;
    std::chrono::seconds resolve_timeout{60};
    std::chrono::seconds learn{30};  ///< after a mount: how long its reads make the access profile
  };

  ImageLibrary(content::LayerLibrary& library, fetch::Fetcher& fetcher, chunk::Store& store,
               ManifestSource& manifests, util::Timers& timers, Options options);
  ~ImageLibrary();
  /// Saves what was learned, ends the backfills and refuses new jobs; the fetcher must be ended
  /// before the destructor.
  void stop();

  std::shared_ptr<Job> mount(const oci::Reference& reference, const std::string& directory,
                             bool pin, const oci::Platform& platform);
  std::shared_ptr<Job> pull(const oci::Reference& reference, const oci::Platform& platform);
  util::Outcome<util::Done> umount(const std::string& directory);
  [[nodiscard]] std::shared_ptr<Job> job(const std::string& id) const;

  /// Brings back what was mounted, without the registry where the indexes are there. Returns
  /// directory → encoded image of what came back.
  std::map<std::string, std::string> restore();

  [[nodiscard]] std::vector<std::shared_ptr<const Image>> images() const;
  [[nodiscard]] std::shared_ptr<const Image> image(const std::string& encoded) const;
  [[nodiscard]] std::shared_ptr<const Image> image_by_slot(uint32_t slot) const;
  [[nodiscard]] std::map<std::string, std::vector<Mount>> mounts() const;  ///< by encoded image
  /// A layer of some image, by its slot or digest.
  [[nodiscard]] std::shared_ptr<const content::Content> layer_by_slot(uint32_t slot) const;
  [[nodiscard]] std::map<util::Digest, std::pair<uint32_t, std::shared_ptr<const content::Content>>>
  layers() const;
  /// Called after an image came or went, with no lock held.
  void on_change(std::function<void(const std::string& encoded)> callback);

 private:
  struct Known {
    std::shared_ptr<const Image> image;
    std::vector<Mount> mounts;
    std::vector<util::Operation> fillings;
  };
  struct Running {
    std::thread thread;
    std::atomic<bool> ended{false};
  };
  struct State {
    std::map<std::string, Known> images;
    std::map<std::string, std::shared_ptr<Job>> jobs;
    std::list<std::string> finished;  ///< job ids, oldest first
    std::list<Running> threads;
    uint64_t next_job = 1;
    bool stopping = false;
  };

  /// On a thread of its own; joins those that have ended.
  static void run_beside(State& state, std::function<void()> work);
  std::shared_ptr<Job> start(const std::string& kind, const oci::Reference& reference,
                             std::function<std::optional<util::Failure>(Job&)> work);
  util::Outcome<std::shared_ptr<Image>> open(const oci::Reference& reference,
                                             const Resolved& resolved, Job* job);
  util::Outcome<Resolved> resolve(const oci::Reference& reference, const oci::Platform& platform);
  std::optional<util::Failure> open_layers(Image& image, Job* job);
  void publish(const std::shared_ptr<Image>& image, const Mount& mount);
  // How the bytes of a mounted image come in behind its reads (filling.cpp).
  void fill(const std::shared_ptr<const Image>& image);
  void hold(const std::shared_ptr<const Image>& image, util::Operation operation);
  void prefetch_known(const std::shared_ptr<const Image>& image);
  void backfill(const std::shared_ptr<const Image>& image, size_t layer);
  /// What follows when all bytes of a layer came, or sources gave nothing but wrong ones.
  void check_later(const std::shared_ptr<content::Content>& content, bool corrupt);
  [[nodiscard]] AccessProfile load_profile(const Image& image) const;
  void save_profile(const Image& image);
  std::optional<util::Failure> bring_all(const Image& image);
  void save(const std::string& encoded, const Resolved& resolved, const std::vector<Mount>& mounts);
  struct Record {
    oci::Reference reference;
    Resolved resolved;
    std::vector<Mount> mounts;
  };
  std::optional<Record> load(const std::string& encoded);

  content::LayerLibrary& library_;
  fetch::Fetcher& fetcher_;
  chunk::Store& store_;
  ManifestSource& manifests_;
  util::Timers& timers_;
  const Options options_;
  SlotTable slots_;
  std::function<void(const std::string&)> on_change_;
  util::Sync<State> state_;
};

}  // namespace swarmfs::image
