// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "chunk/layer_ref.h"
#include "containerd/content_store.h"
#include "containerd/runtime.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "util/sync.h"
#include "util/units.h"

namespace swarmfs::containerd {

/// An image that containerd pulled, with layers of it that it holds as files.
struct HeldImage {
  struct Layer {
    chunk::LayerRef ref;
    std::filesystem::path file;
    bool elsewhere = false;  ///< containerd had it from another host too
  };
  oci::Reference reference;  ///< by the manifest's digest
  oci::Platform platform;
  util::Bytes manifest;
  std::optional<util::Bytes> index;   ///< that led to it
  std::optional<util::Bytes> config;  ///< where it is there too
  std::vector<Layer> layers;
};

/// Who is handed what containerd holds. Called on the watcher's thread; may block.
class Taker {
 public:
  virtual ~Taker() = default;
  /// The layers about which there is nothing more to be done until containerd says that an image of
  /// theirs has changed; the rest are offered again later.
  virtual std::vector<util::Digest> take(const HeldImage& image, const std::stop_token& stop) = 0;
};

struct WatcherOptions {
  std::string address;                        ///< for messages
  std::vector<std::string> name_spaces{};     ///< containerd's namespaces; empty: all
  std::filesystem::path content{};            ///< of the content store; empty: containerd says it
  std::chrono::milliseconds again{2'000};     ///< after a connection's first look at all images
  std::chrono::milliseconds period{600'000};  ///< between later ones
  std::chrono::milliseconds pause{200};       ///< before the first new try to connect
  std::chrono::milliseconds longest{10'000};  ///< and between later ones
};

/// Finds the images that containerd holds: all of them when it can be reached, and each that comes
/// from then on, by its events. A thread of its own, of low priority. That containerd is down, or
/// begins anew, is no error: said once, and tried again.
class Watcher {
 public:
  /// Begins at once. Both must outlive it.
  Watcher(WatcherOptions options, Runtime& runtime, Taker& taker);
  /// Waits for the Taker's last call.
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  /// Any thread. Nothing new begins.
  void stop();
  /// Why containerd cannot be watched at the moment; empty: it is.
  [[nodiscard]] std::string trouble() const { return *trouble_.lock(); }

 private:
  void run();
  [[nodiscard]] util::Failure watch();
  [[nodiscard]] util::Outcome<util::Done> look_at_all();
  /// `changed`: also the layers that are done.
  [[nodiscard]] util::Outcome<util::Done> look_at(const std::string& name_space,
                                                  const NamedImage& image, bool changed);
  [[nodiscard]] util::Outcome<util::Done> offer(const std::string& name_space, HeldImage image,
                                                bool changed);
  struct Whence {
    bool here = false;  ///< from the origin, as its namespace has it
    bool elsewhere = false;
  };
  /// In whatever namespace: one may see what another had from somewhere else.
  [[nodiscard]] util::Outcome<Whence> whence(const util::Digest& layer, const chunk::Origin& origin,
                                             const std::string& name_space,
                                             const std::vector<std::string>& name_spaces);
  /// The layers that are yet to be offered, each once.
  [[nodiscard]] std::vector<oci::Descriptor> wanted(const oci::Manifest& manifest,
                                                    const chunk::Origin& origin,
                                                    bool changed) const;
  [[nodiscard]] bool is_wanted(const std::string& name_space) const;
  void say(const std::string& trouble);

  const WatcherOptions options_;
  Runtime& runtime_;
  Taker& taker_;
  std::optional<ContentStore> store_;  ///< of the connection; this and the next: the thread's
  std::set<std::pair<chunk::Origin, util::Digest>> done_;  ///< layers, by repository
  std::optional<bool> told_watched_;                       ///< what the log said last
  util::Sync<std::string> trouble_{"not reached yet"};
  std::stop_source stop_;
  std::condition_variable_any pause_over_;
  std::mutex pausing_;
  std::thread thread_;  ///< last: it uses the rest
};

}  // namespace swarmfs::containerd
