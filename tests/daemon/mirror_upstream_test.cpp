// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/mirror_upstream.h"

#include <thread>

#include "content/content_fixture.h"
#include "daemon/catalog_fixture.h"

namespace swarmfs::daemon {
namespace {

using namespace std::chrono_literals;

constexpr const char* kLayerType = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What the mirror is given, over a real cache and library. The registry has one layer, and is
/// silent when it is asked for the other, of which a member claims something.
class MirrorUpstreamTest : public testing::Test {
 protected:
  MirrorUpstreamTest() {
    claims_.offers.push_back(
        {content::tree_of(other_), content::index_of(other_).serialize(), "a", "claim of a"});
  }
  ~MirrorUpstreamTest() override {
    upstream_.stop();
    fetcher_.stop();
  }
  static chunk::LayerRef ref_of(const std::string& layer) {
    return {digest_of(layer), layer.size(), {{"r.example.com", "app"}}};
  }
  /// The registry answers, as far as it does, until `condition`, or for long.
  template <class Condition>
  bool await(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (!condition() && std::chrono::steady_clock::now() < until) {
      const auto asked = source_.asked_of();
      for (size_t id = 0; id < asked.size(); ++id)
        if (asked[id].digest == digest_of(layer_)) source_.answer(id, UINT64_MAX);
      std::this_thread::sleep_for(1ms);
    }
    return condition();
  }
  static std::string descriptor(const std::string& type, const std::string& of) {
    return R"({"mediaType":"application/vnd.oci.image.)" + type + R"(","digest":")" +
           digest_of(of).to_string() + R"(","size":)" + std::to_string(of.size()) + "}";
  }
  [[nodiscard]] bool asked_for(const std::string& layer) const {
    const auto asked = source_.asked_of();
    return std::any_of(asked.begin(), asked.end(),
                       [&](const auto& one) { return one.digest == digest_of(layer); });
  }

  const std::string layer_ = content::make_layer(0644), other_ = content::make_layer(0600);
  support::TemporaryDirectory directory_;
  util::Metrics metrics_;
  util::Timers timers_;
  util::Workers workers_{2};
  Hands clock_;
  FakeInquiries inquiries_;
  content::FakeClaims claims_;
  support::FakeSource source_{layer_};
  cache::ChunkCache cache_{{directory_.path()}, timers_, workers_, metrics_};
  http::Client http_;
  registry::RegistryClient registry_{http_, {}, timers_, metrics_};
  Catalog catalog_{cache_, inquiries_, clock_, true};
  fetch::Fetcher fetcher_{cache_, {&source_}, {}, timers_, metrics_};
  content::LayerLibrary library_{fetcher_, cache_, metrics_, &claims_};
  RegistryManifests registry_manifests_{registry_};
  Manifests manifests_{registry_manifests_, catalog_, cache_, nullptr};
  MirrorUpstream upstream_{{registry_, cache_, catalog_, manifests_, library_, fetcher_, nullptr}};
};

TEST_F(MirrorUpstreamTest, a_settlement_that_lasts_holds_up_nothing_that_passed) {
  const auto claimed = ref_of(other_), passed = ref_of(layer_);
  const auto content = upstream_.claimed(claimed, kLayerType);
  ASSERT_TRUE(content);
  EXPECT_TRUE(upstream_.dispute(claimed));
  EXPECT_TRUE(await([&] { return asked_for(other_); })) << "the whole layer is to decide";
  const auto layer = fetcher_.open(passed);
  upstream_.complete(passed, kLayerType);
  EXPECT_TRUE(await([&] { return layer->sealed_by_us(); }));
}

TEST_F(MirrorUpstreamTest, what_an_earlier_run_left_whole_and_unhashed_is_hashed) {
  const auto layer = fetcher_.open(ref_of(layer_));
  std::atomic<bool> here{false};
  const auto operation = fetcher_.bring_in(layer, chunk::Class::pull,
                                           [&](const auto& outcome) { here = bool(outcome); });
  ASSERT_TRUE(await([&] { return here.load(); }));
  ASSERT_FALSE(layer->sealed());
  const auto rest = fetcher_.open(ref_of(other_));
  std::promise<void> written;
  rest->stored().write(chunk::BlockIndex{0},
                       util::SharedBytes::of(bytes_of(other_.substr(0, chunk::kBlockSize))),
                       chunk::Class::pull, [&](const auto&) { written.set_value(); });
  written.get_future().wait();
  ASSERT_GT(rest->stored().bytes_present(), 0u);
  const std::string manifest = R"({"schemaVersion":2,"config":)" +
                               descriptor("config.v1+json", "{}") + R"(,"layers":[)" +
                               descriptor("layer.v1.tar+gzip", layer_) + "," +
                               descriptor("layer.v1.tar+gzip", other_) + "]}";
  catalog_.resolved(at("r.example.com/app:v1"), kPlatform,
                    {digest_of(manifest), bytes_of(manifest)});
  upstream_.resume();
  EXPECT_TRUE(await([&] { return layer->sealed_by_us(); }));
  EXPECT_FALSE(asked_for(other_)) << "what is not here is not brought in";
}

}  // namespace
}  // namespace swarmfs::daemon
