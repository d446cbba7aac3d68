// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <condition_variable>
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
#include "image/image_records.h"
#include "image/job.h"
#include "image/merged_tree.h"
#include "image/slot_table.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "util/timers.h"
#include "util/workers.h"

namespace swarmfs::image {

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
  std::string name;  ///< image_name(): its directory under images/
  util::Digest manifest;
  std::vector<oci::Descriptor> layers;                      ///< bottom first
  std::vector<std::shared_ptr<content::Content>> contents;  ///< of the same order
  std::shared_ptr<const MergedTree> tree;
  uint32_t slot = 0;
  std::vector<uint32_t> layer_slots;
  std::vector<uint64_t> generations;  ///< of the contents' standing, when the image was opened
};

/// Images that are mounted or pulled, by name: each manifest that a reference ever stood for is an
/// image of its own for as long as it is mounted. Mounts survive a restart (ImageRecords). Any
/// thread; each job has a thread of its own, ended by the destructor.
class ImageLibrary {
 public:
  /// What others do while images come back.
  struct Restoring {
    /// These layers will be wanted.
    std::function<void(const oci::Reference&, const std::vector<oci::Descriptor>&)> foresee;
    /// The image is there to be shown on the mount's directory; whether it is now. On a thread that
    /// waits.
    std::function<bool(const Mount& mount, const std::string& name)> show;
  };
  /// Of images. Called with no lock held, on a thread that waits.
  struct Changes {
    /// One came or went.
    std::function<void()> listing;
    /// What was read of this one, bytes or names, may have been wrong: another index took its
    /// place, or bytes of a layer were dropped since.
    std::function<void(const Image&)> truth;
  };
  /// An image that is not mounted, as far as it is known here.
  struct Remembered {
    ImageRecord record;
    std::vector<std::shared_ptr<content::Content>> contents;  ///< null where there is no index
  };
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

  /// The caller binds the image on the directory, and says so by confirm(). A full disk refuses no
  /// mount: it may be forgotten over a restart then, which the store has warned of.
  std::shared_ptr<Job> mount(const oci::Reference& reference, const Mount& mount,
                             const oci::Platform& platform);
  /// Fault::no_space: the cache's quota does not hold all of it.
  std::shared_ptr<Job> pull(const oci::Reference& reference, const oci::Platform& platform);
  util::Outcome<util::Done> umount(const std::string& directory);
  /// The image was bound on the directory: in a namespace, perhaps, that this process does not see.
  void confirm(const std::string& directory);
  /// Unmounts what somebody has taken off behind our back: seen mounted once and not any more, or
  /// neither seen nor confirmed for a minute.
  void drop_unmounted(const std::function<bool(const std::string& directory)>& is_mounted);
  [[nodiscard]] std::shared_ptr<Job> job(const std::string& id) const;

  /// Brings back what was mounted: images that need no source before it returns, the others on
  /// threads of their own, trying until they are there or unmounted.
  void restore(Restoring others);

  [[nodiscard]] std::vector<std::shared_ptr<const Image>> images() const;
  [[nodiscard]] std::shared_ptr<const Image> image(const std::string& name) const;
  [[nodiscard]] std::shared_ptr<const Image> image_by_slot(uint32_t slot) const;
  /// Of each reference (encoded()) the image that it stood for last.
  [[nodiscard]] std::map<std::string, std::shared_ptr<const Image>> newest() const;
  /// What has mounts, also where the image is not back yet.
  [[nodiscard]] std::vector<ImageRecord> mounted() const { return records_.mounted(); }
  /// What the reference stood for last; empty: it was never resolved here.
  [[nodiscard]] std::optional<Remembered> remembered(const oci::Reference& reference);
  /// A layer of some image, by its slot or digest.
  [[nodiscard]] std::shared_ptr<const content::Content> layer_by_slot(uint32_t slot) const;
  [[nodiscard]] std::map<util::Digest, std::pair<uint32_t, std::shared_ptr<const content::Content>>>
  layers() const;
  /// Calls back until the operation dies. One.
  [[nodiscard]] util::Operation on_change(Changes callbacks);

 private:
  struct Known {
    std::shared_ptr<const Image> image;
    util::Operation learning, prefetching, filling;
  };
  struct Running {
    std::thread thread;
    std::atomic<bool> ended{false};
  };
  /// A directory on which an image was, or will soon be, bound.
  struct Place {
    std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
    bool seen = false;
    bool confirmed = false;
  };
  struct Listener {
    util::CallbackGate gate;
    Changes callbacks;
  };
  struct State {
    std::map<std::string, Known> images;
    std::map<std::string, Place> places;
    std::shared_ptr<Listener> listener;
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
  void changed();
  void doubt(const Image& image);
  /// After the layer was checked; `corrupt`: it was not what it should be.
  void doubt_readers_of(const content::Content& content, bool corrupt);
  // How images come and go (mounting.cpp).
  util::Outcome<ImageRecord> resolve(const oci::Reference& reference,
                                     const oci::Platform& platform);
  util::Outcome<std::shared_ptr<Image>> open(const ImageRecord& record, Job* job);
  /// Without any source; null where that is not enough.
  std::shared_ptr<Image> open_known(const ImageRecord& record);
  void finish(Image& image, const ImageRecord& record);
  std::optional<util::Failure> open_layers(Image& image, Job* job);
  void bring_up(const std::shared_ptr<Image>& image);
  void come_back(const std::shared_ptr<Image>& image, const Restoring& others);
  void come_back_later(const ImageRecord& record, const Restoring& others);
  /// Takes the image down unless it has mounts.
  void retire(const std::string& name);
  void settle_pins(const Image& image);
  // How the bytes of a mounted image come in behind its reads (filling.cpp).
  void fill(const std::shared_ptr<const Image>& image, bool fresh);
  /// One of Known's; the operation ends at once when the image is not that one any more.
  void hold(const std::shared_ptr<const Image>& image, util::Operation Known::*place,
            util::Operation operation);
  void prefetch_known(const std::shared_ptr<const Image>& image);
  void backfill_all(const std::shared_ptr<const Image>& image);
  void on_backfilled(const Image& image, size_t layer, const util::Outcome<util::Done>& outcome);
  /// What follows when all bytes of a layer came: one layer at a time, behind all who wait.
  void check_later(const std::shared_ptr<content::Content>& content);
  /// What follows when sources gave nothing but wrong bytes.
  void settle_beside(const std::shared_ptr<content::Content>& content);
  void end_check(const content::Content& content, const util::Outcome<util::Done>& outcome);
  [[nodiscard]] AccessProfile load_profile(const Image& image) const;
  void save_profile(const Image& image);
  /// Again where it is evicted meanwhile, though there is room.
  std::optional<util::Failure> bring_until_whole(const Image& image, Job& job);
  std::optional<util::Failure> bring_all(const Image& image, Job& job);
  [[nodiscard]] std::optional<util::Failure> too_large(const ImageRecord& record) const;

  content::LayerLibrary& library_;
  fetch::Fetcher& fetcher_;
  chunk::Store& store_;
  ManifestSource& manifests_;
  util::Timers& timers_;
  const Options options_;
  SlotTable slots_;
  ImageRecords records_;
  util::Sync<State> state_;
  std::condition_variable stopped_;
  util::Workers checks_{1};  ///< last: its jobs use the rest
};

}  // namespace swarmfs::image
