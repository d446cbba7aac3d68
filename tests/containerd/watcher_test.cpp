// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "containerd/watcher.h"

#include <gtest/gtest.h>

#include <deque>
#include <fstream>

#include "support/temporary_directory.h"

namespace swarmfs::containerd {
namespace {

using util::Failure;
using util::Fault;
using util::Outcome;

constexpr std::chrono::seconds kPatience{60};

util::Digest digest_of(const std::string& text) {
  return util::Sha256::of(util::as_bytes(text));
}

std::string descriptor(const std::string& type, const std::string& text) {
  return R"({"mediaType":"application/vnd.oci.image.)" + type + R"(","digest":")" +
         digest_of(text).to_string() + R"(","size":)" + std::to_string(text.size()) + "}";
}

/// An image of these layers, each named by its bytes.
std::string manifest_of(const std::vector<std::string>& layers) {
  std::string all;
  for (const auto& layer : layers)
    all += (all.empty() ? "" : ",") + descriptor("layer.v1.tar", layer);
  return R"({"schemaVersion":2,"config":)" + descriptor("config.v1+json", "config") +
         R"(,"layers":[)" + all + "]}";
}

/// A containerd in which everything came from docker.io/library/app, unless a blob is `unlabelled`.
class FakeRuntime final : public Runtime {
 public:
  void connect() override { ++state_.lock()->connects; }
  Outcome<std::filesystem::path> content_root() override {
    if (auto state = state_.lock(); !up(*state)) return down();
    return directory_.path();
  }
  Outcome<std::vector<std::string>> namespaces() override {
    auto state = state_.lock();
    if (!up(*state)) return down();
    std::vector<std::string> made;
    for (const auto& [name, unused] : state->name_spaces) made.push_back(name);
    return made;
  }
  Outcome<std::vector<NamedImage>> images(const std::string& name_space) override {
    auto state = state_.lock();
    if (!up(*state)) return down();
    std::vector<NamedImage> made;
    for (const auto& [name, target] : state->name_spaces[name_space])
      made.push_back({name, target});
    ++state->looks;
    changed_.notify_all();
    return made;
  }
  Outcome<NamedImage> image(const ImageEvent& event) override {
    auto state = state_.lock();
    if (!up(*state)) return down();
    const auto& images = state->name_spaces[event.name_space];
    const auto found = images.find(event.name);
    if (found == images.end()) return Failure{Fault::not_found, "no such image"};
    return NamedImage{found->first, found->second};
  }
  Outcome<Labels> labels(const std::string& name_space, const util::Digest& blob) override {
    auto state = state_.lock();
    if (!up(*state)) return down();
    if (state->refused.contains(blob)) return Failure{Fault::invalid, "too large"};
    if (state->unlabelled.contains(blob)) return Labels{};
    if (name_space == "private")
      return Labels{{"containerd.io/distribution.source.private.io", "secret"}};
    return Labels{{"containerd.io/distribution.source.docker.io", "library/app,library/fork"}};
  }
  Outcome<std::optional<ImageEvent>> next_event(util::SteadyTime until) override {
    auto state = state_.lock();
    state.wait_until(changed_, until, [&] { return !up(*state) || !state->events.empty(); });
    if (!up(*state)) return down();
    if (state->events.empty()) return std::optional<ImageEvent>();
    auto event = std::move(state->events.front());
    state->events.pop_front();
    return std::optional(std::move(event));
  }
  void interrupt() override {
    state_.lock()->interrupted = true;
    changed_.notify_all();
  }

  util::Digest put(const std::string& text, const std::string& as = "") {
    const auto digest = digest_of(as.empty() ? text : as);
    std::ofstream(store_.path(digest), std::ios::binary) << text;
    return digest;
  }
  void name(const std::string& image, const util::Digest& target,
            const std::string& name_space = "default") {
    state_.lock()->name_spaces[name_space][image] = target;
  }
  void tell(const std::string& image, const std::string& name_space = "default") {
    state_.lock()->events.push_back({name_space, image});
    changed_.notify_all();
  }
  void refuse_labels(const util::Digest& blob) { state_.lock()->refused.insert(blob); }
  void forget_label(const util::Digest& blob) { state_.lock()->unlabelled.insert(blob); }
  /// For another watcher.
  void begin_anew() { state_.lock()->interrupted = false; }
  void set_up(bool is_up) {
    state_.lock()->is_up = is_up;
    changed_.notify_all();
  }
  int connects() { return state_.lock()->connects; }
  /// Waits until the images of a namespace were asked for so many times.
  bool looked(int times) {
    auto state = state_.lock();
    return state.wait_until(changed_, std::chrono::steady_clock::now() + kPatience,
                            [&] { return state->looks >= times; });
  }

 private:
  struct State {
    std::map<std::string, std::map<std::string, util::Digest>> name_spaces;
    std::set<util::Digest> unlabelled, refused;
    std::deque<ImageEvent> events;
    bool is_up = true;
    bool interrupted = false;
    int connects = 0;
    int looks = 0;
  };
  static bool up(const State& state) { return state.is_up && !state.interrupted; }
  static Failure down() { return {Fault::unavailable, "nobody is there"}; }

  support::TemporaryDirectory directory_;
  const ContentStore store_{[this] {
    std::filesystem::create_directories(directory_.path() / "blobs/sha256");
    return directory_.path();
  }()};
  util::Sync<State> state_;
  std::condition_variable changed_;
};

class FakeTaker final : public Taker {
 public:
  std::vector<util::Digest> take(const HeldImage& image, const std::stop_token&) override {
    auto state = state_.lock();
    state->taken.push_back(image);
    std::vector<util::Digest> settled;
    for (const auto& layer : image.layers)
      if (!state->unsettled.contains(layer.ref.digest)) settled.push_back(layer.ref.digest);
    changed_.notify_all();
    return settled;
  }
  void leave_unsettled(const util::Digest& layer) { state_.lock()->unsettled.insert(layer); }
  /// Waits for so many images, and gives all that were taken.
  std::vector<HeldImage> wait(size_t images) {
    auto state = state_.lock();
    state.wait_until(changed_, std::chrono::steady_clock::now() + kPatience,
                     [&] { return state->taken.size() >= images; });
    return state->taken;
  }

 private:
  struct State {
    std::vector<HeldImage> taken;
    std::set<util::Digest> unsettled;
  };
  util::Sync<State> state_;
  std::condition_variable changed_;
};

std::set<util::Digest> layers_in(const HeldImage& image) {
  std::set<util::Digest> made;
  for (const auto& layer : image.layers) made.insert(layer.ref.digest);
  EXPECT_EQ(made.size(), image.layers.size()) << "a layer twice";
  return made;
}

class WatcherTest : public testing::Test {
 protected:
  void start() {
    options_.address = "/run/fake.sock";
    options_.pause = std::chrono::milliseconds(1);
    options_.longest = std::chrono::milliseconds(10);
    watcher_.emplace(options_, runtime_, taker_);
  }
  /// All is looked at twice, and a while after that.
  void look_often() { options_.again = options_.period = std::chrono::milliseconds(20); }

  const std::string app_ = "docker.io/library/app:v1";
  WatcherOptions options_;
  FakeRuntime runtime_;
  FakeTaker taker_;
  std::optional<Watcher> watcher_;
};

TEST_F(WatcherTest, offers_what_is_there_at_the_start) {
  runtime_.put("config");
  const auto one = runtime_.put("layer one"), two = runtime_.put("layer two");
  runtime_.put("longer than it should be", "wrong size");
  const auto foreign = runtime_.put("imported");
  runtime_.forget_label(foreign);
  const std::string manifest =
      manifest_of({"layer one", "absent", "layer two", "wrong size", "layer one", "imported"});
  runtime_.name(app_, runtime_.put(manifest));
  start();
  const auto taken = taker_.wait(1);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].reference.to_string(),
            "docker.io/library/app@" + digest_of(manifest).to_string());
  EXPECT_EQ(util::as_text(taken[0].manifest), manifest);
  EXPECT_FALSE(taken[0].index);
  ASSERT_TRUE(taken[0].config);
  EXPECT_EQ(util::as_text(*taken[0].config), "config");
  EXPECT_EQ(layers_in(taken[0]), (std::set{one, two}));
  EXPECT_EQ(taken[0].layers[0].ref.size, 9u);
  EXPECT_EQ(taken[0].layers[0].ref.origins,
            (std::vector<chunk::Origin>{{"docker.io", "library/app"}}));
  EXPECT_EQ(watcher_->trouble(), "");
}

TEST_F(WatcherTest, offers_what_comes) {
  options_.again = std::chrono::hours(1);
  runtime_.name("docker.io/library/gone:v1", digest_of("gone"));
  start();
  ASSERT_TRUE(runtime_.looked(1));
  const auto layer = runtime_.put("layer");
  runtime_.name(app_, runtime_.put(manifest_of({"layer"})));
  runtime_.tell("docker.io/library/gone:v1");
  runtime_.tell(app_);
  const auto taken = taker_.wait(1);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(layers_in(taken[0]), std::set{layer});
}

TEST_F(WatcherTest, follows_an_index_to_the_manifests_that_are_there) {
  const auto layer = runtime_.put("layer");
  const std::string here = manifest_of({"layer"}), elsewhere = manifest_of({"other"});
  runtime_.put(here);
  const auto entry = [](const std::string& manifest, const char* architecture) {
    return R"({"digest":")" + digest_of(manifest).to_string() +
           R"(","size":1,"platform":{"os":"linux","architecture":")" + architecture + R"("}})";
  };
  const std::string index = R"({"schemaVersion":2,"manifests":[)" + entry(elsewhere, "amd64") +
                            "," + entry(here, "s390x") + "]}";
  runtime_.name(app_, runtime_.put(index));
  start();
  const auto taken = taker_.wait(1);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(*taken[0].reference.digest, digest_of(here));
  EXPECT_EQ(taken[0].platform.to_string(), "linux/s390x");
  ASSERT_TRUE(taken[0].index);
  EXPECT_EQ(util::as_text(*taken[0].index), index);
  EXPECT_EQ(layers_in(taken[0]), std::set{layer});
}

TEST_F(WatcherTest, what_is_settled_is_offered_again_only_when_it_changes) {
  look_often();
  const auto one = runtime_.put("layer one"), two = runtime_.put("layer two");
  taker_.leave_unsettled(two);
  runtime_.name(app_, runtime_.put(manifest_of({"layer one", "layer two"})));
  start();
  auto taken = taker_.wait(3);
  ASSERT_GE(taken.size(), 3u);
  EXPECT_EQ(layers_in(taken[0]), (std::set{one, two}));
  for (size_t i = 1; i < taken.size(); ++i) EXPECT_EQ(layers_in(taken[i]), std::set{two});
  runtime_.tell(app_);
  const auto again = [&] {
    taken = taker_.wait(taken.size() + 1);
    return layers_in(taken.back()) == std::set{one, two};
  };
  const auto until = std::chrono::steady_clock::now() + kPatience;
  bool offered = false;
  while (!offered && std::chrono::steady_clock::now() < until) offered = again();
  EXPECT_TRUE(offered);
}

TEST_F(WatcherTest, a_name_proves_nothing) {
  look_often();
  runtime_.put("layer");
  const auto unlabelled = runtime_.put(manifest_of({"layer"}));
  runtime_.forget_label(unlabelled);
  runtime_.name(app_, unlabelled);
  runtime_.name("docker.io/library/other:v1", runtime_.put(manifest_of({"layer", "absent"})));
  runtime_.name("sha256:0123", runtime_.put(manifest_of({"absent", "layer"})));
  start();
  ASSERT_TRUE(runtime_.looked(3));
  EXPECT_TRUE(taker_.wait(0).empty());
}

TEST_F(WatcherTest, says_which_layers_another_namespace_has_from_another_host) {
  const auto layer = runtime_.put("layer");
  runtime_.name(app_, runtime_.put(manifest_of({"layer"})));
  start();
  EXPECT_FALSE(taker_.wait(1).at(0).layers.at(0).elsewhere);
  watcher_.reset();
  runtime_.name("private.io/secret:v1", digest_of("gone"), "private");
  runtime_.begin_anew();
  start();
  const auto taken = taker_.wait(2);
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_EQ(layers_in(taken[1]), std::set{layer});
  EXPECT_TRUE(taken[1].layers[0].elsewhere);
}

TEST_F(WatcherTest, offers_a_layer_once_in_each_repository) {
  look_often();
  const auto layer = runtime_.put("layer");
  runtime_.name(app_, runtime_.put(manifest_of({"layer"})));
  runtime_.name("docker.io/library/fork:v1", runtime_.put(manifest_of({"layer"})));
  start();
  ASSERT_TRUE(runtime_.looked(4));
  const auto taken = taker_.wait(2);
  ASSERT_EQ(taken.size(), 2u);
  std::set<std::string> repositories;
  for (const auto& one : taken) {
    repositories.insert(one.reference.repository);
    EXPECT_EQ(layers_in(one), std::set{layer});
  }
  EXPECT_EQ(repositories, (std::set<std::string>{"library/app", "library/fork"}));
}

TEST_F(WatcherTest, what_containerd_does_not_give_is_passed_over) {
  runtime_.put("another");
  const auto layer = runtime_.put("layer");
  const auto refused = runtime_.put(manifest_of({"another"}));
  runtime_.refuse_labels(refused);
  runtime_.name("docker.io/library/app:a", refused);
  runtime_.name("docker.io/library/app:b", runtime_.put(manifest_of({"layer"})));
  start();
  const auto taken = taker_.wait(1);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(layers_in(taken[0]), std::set{layer});
  EXPECT_EQ(runtime_.connects(), 1);
}

TEST_F(WatcherTest, a_damaged_manifest_is_passed_over) {
  const auto layer = runtime_.put("layer");
  runtime_.name("docker.io/library/app:a", runtime_.put("{}", "a manifest"));
  runtime_.name("docker.io/library/app:b", runtime_.put(std::string("[1,2")));
  runtime_.name("docker.io/library/app:c", runtime_.put(manifest_of({"layer"})));
  start();
  const auto taken = taker_.wait(1);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(layers_in(taken[0]), std::set{layer});
}

TEST_F(WatcherTest, looks_only_into_the_namespaces_that_it_is_told) {
  options_.name_spaces = {"k8s.io"};
  const auto layer = runtime_.put("layer");
  runtime_.put("another");
  runtime_.name("docker.io/library/app:no", runtime_.put(manifest_of({"another"})), "moby");
  runtime_.name(app_, runtime_.put(manifest_of({"layer"})), "k8s.io");
  runtime_.tell("docker.io/library/app:no", "moby");
  runtime_.tell(app_, "k8s.io");
  start();
  const auto taken = taker_.wait(2);  // at the start, and by the event
  ASSERT_EQ(taken.size(), 2u);
  for (const auto& one : taken) EXPECT_EQ(layers_in(one), std::set{layer});
}

TEST_F(WatcherTest, a_containerd_that_dies_is_looked_for_until_it_is_back) {
  runtime_.set_up(false);
  start();
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (runtime_.connects() < 3 && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  EXPECT_EQ(watcher_->trouble(), "nobody is there");
  const auto layer = runtime_.put("layer");
  runtime_.name(app_, runtime_.put(manifest_of({"layer"})));
  runtime_.set_up(true);
  ASSERT_EQ(taker_.wait(1).size(), 1u);
  EXPECT_EQ(watcher_->trouble(), "");

  runtime_.set_up(false);
  while (watcher_->trouble().empty() && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  EXPECT_EQ(watcher_->trouble(), "nobody is there");
  const auto other = runtime_.put("other");
  runtime_.name("docker.io/library/app:v2", runtime_.put(manifest_of({"layer", "other"})));
  runtime_.set_up(true);
  const auto taken = taker_.wait(2);
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_EQ(layers_in(taken[0]), std::set{layer});
  EXPECT_EQ(layers_in(taken[1]), std::set{other}) << "what it said before counts on";
}

TEST_F(WatcherTest, stops_while_it_waits) {
  runtime_.name(app_, digest_of("gone"));
  start();
  ASSERT_TRUE(runtime_.looked(1));
  watcher_->stop();
  const int connects = runtime_.connects();
  watcher_.reset();
  EXPECT_LE(runtime_.connects(), connects + 1);
}

}  // namespace
}  // namespace swarmfs::containerd
