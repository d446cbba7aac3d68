// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include <future>
#include <optional>

#include "cache/chunk_cache.h"
#include "image/backfill.h"
#include "image/image_library.h"
#include "support/fake_source.h"
#include "support/small_disk.h"
#include "support/tar_maker.h"
#include "support/temporary_directory.h"

namespace swarmfs::image {
namespace {

using util::Fault;

/// Layers of two images: a shared one, and one of each image's own.
std::string layer_of(const std::string& name) {
  support::TarMaker tar;
  tar.directory("etc").file("etc/" + name, support::noise(40'000, 1));
  return support::gzip(tar.finish());
}

/// Gives the layer that is asked for, by its digest.
class Shelf final : public chunk::Source {
 public:
  util::Digest put(const std::string& layer) {
    const auto digest = util::Sha256::of(util::as_bytes(layer));
    layers_[digest] = layer;
    return digest;
  }
  [[nodiscard]] chunk::SourceKind kind() const override { return chunk::SourceKind::registry; }
  [[nodiscard]] std::string name() const override { return "shelf"; }
  std::optional<chunk::Plan> plan(const chunk::LayerRef&, util::ByteRange range,
                                  const chunk::FetchContext&) override {
    return chunk::Plan{range.length};
  }
  std::unique_ptr<chunk::Transfer> fetch(const chunk::LayerRef& layer, util::ByteRange range,
                                         const chunk::FetchContext&, OnData on_data,
                                         OnDone on_done) override {
    ++requests;
    auto gate = std::make_shared<util::CallbackGate>();
    workers_.post(util::Workers::Urgency::normal, [this, gate, digest = layer.digest, range,
                                                   on_data, on_done] {
      gate->run([&] {
        if (before) before();
        if (dead) return on_done(util::Failure{Fault::unavailable, "the registry is dead"});
        on_data(util::as_bytes(layers_.at(digest).substr(range.offset, range.length)));
        on_done(util::Done{});
      });
    });
    return std::make_unique<Sent>(std::move(gate));
  }

  std::atomic<bool> dead{false};
  std::atomic<unsigned> requests{0};
  std::function<void()> before;  ///< each is answered; on its thread

 private:
  struct Sent final : chunk::Transfer {
    explicit Sent(std::shared_ptr<util::CallbackGate> its) : gate(std::move(its)) {}
    ~Sent() override { gate->close(); }
    void pause() override {}
    void resume() override {}
    [[nodiscard]] std::string supplier() const override { return "shelf"; }
    const std::shared_ptr<util::CallbackGate> gate;
  };
  std::map<util::Digest, std::string> layers_;
  util::Workers workers_{2};
};

/// A registry whose tags the test moves.
class FakeManifests final : public ManifestSource {
 public:
  util::Outcome<Resolved> resolve(const oci::Reference& reference,
                                  const oci::Platform& platform) override {
    if (dead) return util::Failure{Fault::unavailable, "the registry is dead"};
    return tags.at(reference.to_string() + " " + platform.architecture);
  }
  std::map<std::string, Resolved> tags;
  bool dead = false;
};

const oci::Reference kApp = *oci::Reference::parse("r.test/app:latest");
const oci::Platform kAmd{"linux", "amd64", ""}, kArm{"linux", "arm64", ""};

class ImageLibraryTest : public testing::Test {
 protected:
  ImageLibraryTest() {
    move(kApp, kAmd, {"shared", "old"});
    start();
  }
  ~ImageLibraryTest() override { stop(); }

  void start(uint64_t quota = 1 << 30) {
    cache_.emplace(cache::CacheOptions{folder_, quota, 0.95, 0.85, std::chrono::milliseconds(50)},
                   timers_, workers_, metrics_);
    fetcher_.emplace(*cache_, std::vector<chunk::Source*>{&shelf_}, fetch::FetchOptions{}, timers_,
                     metrics_);
    contents_.emplace(*fetcher_, *cache_, metrics_);
    images_.emplace(*contents_, *fetcher_, *cache_, manifests_, timers_,
                    ImageLibrary::Options{false});
  }
  void stop() {
    if (images_) images_->stop();
    if (fetcher_) fetcher_->stop();
    images_.reset();
    contents_.reset();
    fetcher_.reset();
    cache_.reset();
  }
  void restart(uint64_t quota = 1 << 30) {
    stop();
    start(quota);
  }

  /// The reference stands for an image of these layers now.
  util::Digest move(const oci::Reference& reference, const oci::Platform& platform,
                    const std::vector<std::string>& layers) {
    std::string text;
    for (const auto& name : layers) {
      const auto layer = layer_of(name);
      text += (text.empty() ? "" : ",");
      text += R"({"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":")" +
              shelf_.put(layer).to_string() + R"(","size":)" + std::to_string(layer.size()) + "}";
    }
    text =
        R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",)"
        R"("config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":")" +
        util::Sha256::of(util::as_bytes("{}")).to_string() + R"("},"layers":[)" + text + "]}";
    const auto bytes = util::as_bytes(text);
    const auto digest = util::Sha256::of(bytes);
    manifests_.tags[reference.to_string() + " " + platform.architecture] = {
        digest, {bytes.begin(), bytes.end()}};
    return digest;
  }
  Job::View mount(const std::string& directory, bool pin = false,
                  const oci::Reference& reference = kApp, const oci::Platform& platform = kAmd) {
    return images_->mount(reference, {directory, pin, ""}, platform)
        ->wait(std::chrono::seconds(20));
  }
  /// directory → manifest.
  std::map<std::string, util::Digest> mounts() {
    std::map<std::string, util::Digest> found;
    for (const auto& record : images_->mounted())
      for (const auto& mount : record.mounts)
        found.emplace(mount.directory, record.resolved.digest);
    return found;
  }
  bool pinned(const std::string& layer) {
    const auto bytes = layer_of(layer);
    const auto digest = util::Sha256::of(util::as_bytes(bytes));
    images_->stop();
    cache_->evict_all();
    return cache_->open(digest, bytes.size(), chunk::Form::bytes)->bytes_present() > 0;
  }

  support::TemporaryDirectory directory_;
  std::filesystem::path folder_ = directory_.path();
  Shelf shelf_;
  FakeManifests manifests_;
  util::Metrics metrics_;
  util::Timers timers_;
  util::Workers workers_{2};
  std::optional<cache::ChunkCache> cache_;
  std::optional<fetch::Fetcher> fetcher_;
  std::optional<content::LayerLibrary> contents_;
  std::optional<ImageLibrary> images_;
};

TEST_F(ImageLibraryTest, a_tag_that_moves_leaves_what_is_mounted_as_it_is) {
  const auto old_digest = manifests_.tags.begin()->second.digest;
  ASSERT_EQ(mount("/a").state, Job::State::done);
  const auto old_image = images_->image(image_name(kApp, old_digest));
  ASSERT_TRUE(old_image);
  const auto new_digest = move(kApp, kAmd, {"shared", "new"});
  const auto view = mount("/b");
  EXPECT_EQ(view.image, image_name(kApp, new_digest));
  EXPECT_EQ(images_->image_by_slot(old_image->slot), old_image);
  EXPECT_EQ(images_->newest().at(encoded(kApp))->manifest, new_digest);
  const std::map<std::string, util::Digest> both{{"/a", old_digest}, {"/b", new_digest}};
  EXPECT_EQ(mounts(), both);
  restart();
  std::map<std::string, std::string> shown;
  images_->restore({{}, [&](const Mount& where, const std::string& name) {
                      shown[where.directory] = name;
                      return true;
                    }});
  EXPECT_EQ(mounts(), both);
  EXPECT_EQ(shown["/a"], image_name(kApp, old_digest));
  EXPECT_EQ(shown["/b"], image_name(kApp, new_digest));
  EXPECT_EQ(images_->image_by_slot(old_image->slot)->manifest, old_digest);
}

TEST_F(ImageLibraryTest, a_pull_of_a_tag_that_moved_changes_no_mount) {
  const auto old_digest = manifests_.tags.begin()->second.digest;
  ASSERT_EQ(mount("/a").state, Job::State::done);
  move(kApp, kAmd, {"shared", "new"});
  ASSERT_EQ(images_->pull(kApp, kAmd)->wait(std::chrono::seconds(20)).state, Job::State::done);
  restart();
  images_->restore({});
  EXPECT_EQ(mounts().at("/a"), old_digest);
  EXPECT_TRUE(images_->image(image_name(kApp, old_digest)));
}

TEST_F(ImageLibraryTest, without_the_registry_a_platform_gets_its_own_manifest) {
  const auto amd = manifests_.tags.begin()->second.digest;
  const auto arm = move(kApp, kArm, {"shared", "arm"});
  ASSERT_EQ(mount("/a").state, Job::State::done);
  ASSERT_EQ(mount("/b", false, kApp, kArm).state, Job::State::done);
  manifests_.dead = true;
  EXPECT_EQ(mount("/c").image, image_name(kApp, amd));
  EXPECT_EQ(mount("/d", false, kApp, kArm).image, image_name(kApp, arm));
}

TEST_F(ImageLibraryTest, a_layer_stays_pinned_while_any_mount_pins_it) {
  const auto other = *oci::Reference::parse("r.test/other:v1");
  move(other, kAmd, {"shared", "others"});
  ASSERT_EQ(mount("/a", true).state, Job::State::done);
  ASSERT_EQ(mount("/b", false, other).state, Job::State::done);
  ASSERT_TRUE(images_->umount("/b"));
  restart();
  EXPECT_TRUE(pinned("shared"));
}

TEST_F(ImageLibraryTest, the_last_mount_that_pins_takes_the_pin_with_it) {
  ASSERT_EQ(mount("/a", true).state, Job::State::done);
  ASSERT_EQ(mount("/b").state, Job::State::done);
  ASSERT_TRUE(images_->umount("/a"));
  restart();
  EXPECT_FALSE(pinned("shared"));
}

TEST_F(ImageLibraryTest, restore_does_not_wait_for_a_dead_registry_and_goes_on_trying) {
  ASSERT_EQ(mount("/a").state, Job::State::done);
  stop();
  std::filesystem::remove_all(directory_.path() / "docs" / "index");
  std::filesystem::remove_all(directory_.path() / "layers");
  shelf_.dead = true;
  start();
  std::promise<std::string> shown;
  images_->restore({{}, [&](const Mount& where, const std::string&) {
                      shown.set_value(where.directory);
                      return true;
                    }});
  EXPECT_EQ(mounts().size(), 1u);
  EXPECT_TRUE(images_->images().empty());
  shelf_.dead = false;
  auto future = shown.get_future();
  ASSERT_EQ(future.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_EQ(future.get(), "/a");
}

TEST_F(ImageLibraryTest, a_pull_that_cannot_fit_is_refused_before_it_begins) {
  restart(30'000);
  const auto view = images_->pull(kApp, kAmd)->wait(std::chrono::seconds(20));
  ASSERT_EQ(view.state, Job::State::failed);
  EXPECT_EQ(view.error->fault, Fault::no_space);
  EXPECT_NE(view.error->message.find("quota"), std::string::npos);
  EXPECT_EQ(shelf_.requests, 0u);
}

TEST_F(ImageLibraryTest, a_pull_tells_what_it_brought_and_what_was_here) {
  const auto first = images_->pull(kApp, kAmd)->wait(std::chrono::seconds(20));
  ASSERT_EQ(first.state, Job::State::done);
  ASSERT_GT(first.bytes_total, 0u);
  // That it was hashed is no byte of the pull's.
  EXPECT_EQ(first.sources.at("cache"), 0u);
  EXPECT_EQ(first.sources.at("registry"), first.bytes_total);
  const auto second = images_->pull(kApp, kAmd)->wait(std::chrono::seconds(20));
  EXPECT_EQ(second.sources.at("cache"), first.bytes_total);
  EXPECT_EQ(second.sources.at("registry"), 0u);
}

TEST_F(ImageLibraryTest, a_pull_brings_again_what_was_evicted_beside_it) {
  move(kApp, kAmd, {"1", "2", "3", "4", "5"});
  std::atomic<uint64_t> evicted{0};
  // The shelf has two threads: when the fourth answer begins, two layers came.
  std::atomic<unsigned> answers{0};
  std::once_flag once;
  shelf_.before = [&] {
    if (++answers < 4) return;
    std::call_once(once, [&] {
      for (int i = 0; evicted == 0 && i < 1000; ++i) {
        evicted = cache_->evict_all();
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
    });
  };
  const auto view = images_->pull(kApp, kAmd)->wait(std::chrono::seconds(20));
  EXPECT_EQ(view.state, Job::State::done) << (view.error ? view.error->message : "");
  EXPECT_GT(evicted, 0u);
  for (const char* name : {"1", "2", "3", "4", "5"}) {
    const auto bytes = layer_of(name);
    const auto layer =
        cache_->open(util::Sha256::of(util::as_bytes(bytes)), bytes.size(), chunk::Form::bytes);
    EXPECT_TRUE(layer->has({0, chunk::block_count(bytes.size())})) << name;
  }
}

TEST_F(ImageLibraryTest, a_pull_whose_layers_are_evicted_again_and_again_says_so) {
  move(kApp, kAmd, {"1", "2", "3", "4", "5"});
  // Each time what the others have by then.
  shelf_.before = [&] {
    for (int i = 0; shelf_.requests >= 4 && cache_->evict_all() == 0 && i < 100; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  };
  const auto view = images_->pull(kApp, kAmd)->wait(std::chrono::seconds(20));
  ASSERT_EQ(view.state, Job::State::failed);
  EXPECT_NE(view.error->message.find("evicted"), std::string::npos) << view.error->message;
}

/// The cache is on a disk of its own that others fill.
class FullDiskTest : public ImageLibraryTest {
 protected:
  void SetUp() override {
    if (!disk_.mounted()) GTEST_SKIP() << "may not mount a tmpfs";
    stop();
    folder_ = disk_.path();
    start();
  }
  void TearDown() override { stop(); }

  support::SmallDisk disk_{"3m"};
};

TEST_F(FullDiskTest, an_image_is_mounted_pinned_and_unmounted_though_nothing_can_be_saved) {
  disk_.fill();
  const auto view = mount("/a", true);
  ASSERT_EQ(view.state, Job::State::done) << view.error->message;
  const auto live = images_->image(view.image);
  ASSERT_TRUE(live);
  EXPECT_EQ(live->contents.size(), 2u);
  EXPECT_EQ(images_->image_by_slot(live->slot), live);
  EXPECT_EQ(mounts().size(), 1u);
  ASSERT_TRUE(images_->umount("/a"));
  EXPECT_TRUE(mounts().empty());
}

TEST_F(FullDiskTest, what_was_mounted_comes_back_if_there_was_room_in_time) {
  disk_.fill();
  const auto view = mount("/a");
  ASSERT_EQ(view.state, Job::State::done) << view.error->message;
  const auto slot = images_->image(view.image)->slot;
  disk_.free();
  const auto saved = [&] {
    return std::filesystem::exists(folder_ / "docs/slots") && !cache_->documents("tree/").empty() &&
           std::filesystem::exists(folder_ / "docs" / cache_->documents("tree/").back());
  };
  for (int i = 0; i < 1000 && !saved(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  restart();
  shelf_.dead = true;
  images_->restore({});
  EXPECT_EQ(mounts().size(), 1u);
  ASSERT_TRUE(images_->image(view.image));
  EXPECT_EQ(images_->image(view.image)->slot, slot);
}

TEST_F(FullDiskTest, a_pull_that_the_disk_cannot_hold_is_refused_before_it_begins) {
  disk_.fill();
  const auto view = images_->pull(kApp, kAmd)->wait(std::chrono::seconds(20));
  ASSERT_EQ(view.state, Job::State::failed);
  EXPECT_EQ(view.error->fault, Fault::no_space);
  EXPECT_NE(view.error->message.find("disk"), std::string::npos) << view.error->message;
  EXPECT_EQ(shelf_.requests, 0u);
}

TEST_F(ImageLibraryTest, names_that_no_file_may_have_come_back) {
  std::string path = "r.test/" + std::string(120, 'a') + "/" + std::string(120, 'b');
  for (const std::string& text :
       {std::string("r.test/app:v1..2"), std::string("r.test/app:1.0.tmp"),
        path + ":" + std::string(128, 'c')}) {
    const auto reference = oci::Reference::parse(text);
    ASSERT_TRUE(reference) << text;
    move(*reference, kAmd, {"shared"});
    ASSERT_EQ(mount("/" + text, false, *reference).state, Job::State::done) << text;
    EXPECT_LE(images_->mounted().back().name().size(), 255u);
  }
  restart();
  images_->restore({});
  EXPECT_EQ(images_->images().size(), 3u);
}

TEST_F(ImageLibraryTest, what_was_taken_off_behind_our_back_is_dropped) {
  ASSERT_EQ(mount("/a").state, Job::State::done);
  images_->drop_unmounted([](const std::string&) { return false; });
  EXPECT_EQ(mounts().size(), 1u) << "its caller is about to bind it";
  images_->drop_unmounted([](const std::string&) { return true; });
  images_->drop_unmounted([](const std::string&) { return false; });
  EXPECT_TRUE(mounts().empty());
  EXPECT_TRUE(images_->images().empty());
}

TEST_F(ImageLibraryTest, what_is_not_mounted_is_remembered) {
  ASSERT_EQ(images_->pull(kApp, kAmd)->wait(std::chrono::seconds(20)).state, Job::State::done);
  const auto known = images_->remembered(kApp);
  ASSERT_TRUE(known);
  ASSERT_EQ(known->contents.size(), 2u);
  EXPECT_TRUE(known->contents[0] && known->contents[1]);
}

TEST_F(ImageLibraryTest, a_record_of_an_earlier_version_is_taken_in) {
  ASSERT_EQ(mount("/a").state, Job::State::done);
  const auto document = cache_->documents("image/").at(0);
  const auto text = *cache_->load_document(document);
  cache_->save_document("image/" + kApp.encoded(), text);
  cache_->remove_document(document);
  restart();
  EXPECT_EQ(mounts().size(), 1u);
  EXPECT_EQ(cache_->documents("image/"), std::vector<std::string>{document});
}

TEST_F(ImageLibraryTest, a_backfill_that_failed_is_tried_again) {
  const auto layer = layer_of("lonely");
  const auto digest = shelf_.put(layer);
  shelf_.dead = true;
  const auto opened = fetcher_->open({digest, layer.size(), {{"r.test", "app"}}});
  std::promise<void> all;
  std::atomic<unsigned> failures{0};
  BackfillHooks hooks;
  hooks.on_layer = [&](size_t, const util::Outcome<util::Done>& outcome) {
    if (!outcome && ++failures == 2) shelf_.dead = false;
  };
  hooks.on_all = [&] { all.set_value(); };
  const auto operation = backfill(*fetcher_, timers_, {opened}, hooks,
                                  {std::chrono::milliseconds(1), std::chrono::milliseconds(5)});
  ASSERT_EQ(all.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_GE(failures, 2u);
}

}  // namespace
}  // namespace swarmfs::image
