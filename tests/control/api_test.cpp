// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "control/api.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace swarmfs::control {
namespace {

using nlohmann::json;
using util::Failure;
using util::Fault;

class FakeMediator : public Mediator {
 public:
  StatusReport status() override {
    StatusReport made;
    made.cache_bytes = 5;
    made.sources = {{"registry", 7}};
    made.mounts = mounts();
    if (clustered) made.cluster = ClusterReport{"3fa4", "a", {"10.0.0.1:7946"}, 3, 12};
    return made;
  }
  std::vector<MountReport> mounts() override {
    return {{"r", "/d", "m", "/p", true, "nosuid", 10, 4}};
  }
  util::Outcome<std::vector<MountReport>> mounts_of(const std::string& reference) override {
    if (reference == "B@D") return Failure{Fault::invalid, "not a reference"};
    return reference == "r" ? mounts() : std::vector<MountReport>();
  }
  std::vector<LayerReport> layers() override { return {}; }
  util::Outcome<SwarmsReport> swarms(const std::string& target) override {
    if (target == "nothing") return Failure{Fault::not_found, "no such layer"};
    SwarmReport one{"sha256:a", 100, 50, {{"10.0.0.3:7946", "3fa4", "z", 70, true, false}}, 3, 1, 2,
                    1.5,        2.5, 4};
    SwarmReport alone;
    alone.digest = target;
    return SwarmsReport{7, 6, 5, {one, alone}};
  }
  std::vector<PeerReport> peers() override {
    PeerReport good;
    good.endpoint = "10.0.0.3:7946";
    good.node_id = "3fa4";
    good.zone = "a";
    good.first_byte_ms = 1.5;
    good.p95_ms = 4;
    good.bytes_per_second = 1e8;
    good.bytes_given = 1000;
    good.in_flight = 2;
    PeerReport dead;
    dead.endpoint = "[fd00::1]:7946";
    dead.state = PeerReport::State::silent;
    dead.silent_seconds = 12;
    dead.reason = "connection refused";
    PeerReport liar;
    liar.state = PeerReport::State::banned;
    liar.reason = "wrong bytes";
    return {good, dead, liar};
  }
  util::Outcome<std::string> mount(const MountOrder& order) override {
    last = order;
    return std::string("j1");
  }
  util::Outcome<std::string> pull(const std::string&, const std::string&) override {
    return Failure{Fault::denied, "no password for r"};
  }
  util::Outcome<std::string> preheat(const PreheatOrder& order) override {
    preheated = order;
    if (order.nodes == "9") return Failure{Fault::unavailable, "9 nodes were asked for"};
    return std::string("preheat-1");
  }
  util::Outcome<util::Done> umount(const std::string& directory) override {
    if (directory != "/d") return Failure{Fault::not_found, "nothing is mounted there"};
    return util::Done{};
  }
  util::Outcome<JobReport> job(const std::string& id, std::chrono::milliseconds wait) override {
    waited = wait;
    JobReport made;
    made.id = id;
    if (id == "preheat-1") {
      made.kind = "preheat";
      made.nodes = {{"10.0.0.3:7946", "3fa4", "a", "done", "", 10, 9, 1.5, {{"peer", 9}}},
                    {"10.0.0.4:7946", "3fa5", "b", "failed", "busy", 0, 0, 0, {}}};
      made.left_out = {{"10.0.0.5:7946", "b", "silent: refused"}};
    }
    made.state = "failed";
    made.error = Failure{Fault::corrupt, std::string("bad \xff byte")};
    return made;
  }
  util::Outcome<util::Done> cancel(const std::string& id) override {
    if (id != "j1") return Failure{Fault::not_found, "no job " + id};
    cancelled = true;
    return util::Done{};
  }
  void confirm(const std::string& directory) override { confirmed = directory; }
  bool cancelled = false;
  std::string confirmed;
  util::Outcome<ExplainReport> explain(const std::string& target) override {
    if (target.empty()) throw std::runtime_error("boom");
    LayerReport provisional, hashed, claimed;
    provisional.holders = {{"10.0.0.3:7946", 100}, {"10.0.0.4:7946", 7}};
    provisional.trust = Trust{};
    hashed.trust = Trust{true, ""};
    claimed.trust = Trust{true, "3fa4"};
    return ExplainReport{target, "m", {provisional, hashed, claimed}};
  }
  uint64_t evict() override { return 42; }
  std::string metrics() override { return "swarmfs_up 1\n"; }

  MountOrder last;
  PreheatOrder preheated;
  std::chrono::milliseconds waited{};
  bool clustered = false;
};

struct ApiTest : testing::Test {
  json call(const std::string& method, const std::string& path,
            std::map<std::string, std::string> query = {}, const std::string& body = "") {
    answer = api.answer({method, path, std::move(query), body});
    return json::parse(answer.body, nullptr, false);
  }
  FakeMediator mediator;
  Api api{mediator};
  ApiAnswer answer;
};

TEST_F(ApiTest, a_mount_order_arrives_whole) {
  const json made =
      call("POST", "/v1/mounts", {},
           R"({"reference":"small","directory":"/mnt/a","pin":true,"platform":"linux/arm64",
               "options":"nosuid,noexec"})");
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(made["job"], "j1");
  EXPECT_EQ(mediator.last.reference, "small");
  EXPECT_EQ(mediator.last.directory, "/mnt/a");
  EXPECT_EQ(mediator.last.platform, "linux/arm64");
  EXPECT_TRUE(mediator.last.pin);
  EXPECT_EQ(mediator.last.options, "nosuid,noexec");
}

TEST_F(ApiTest, a_preheat_is_ordered_and_tells_of_each_node) {
  EXPECT_EQ(call("POST", "/v1/preheats", {}, R"({"reference":"small"})")["job"], "preheat-1");
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(mediator.preheated.nodes, "all");
  EXPECT_EQ(mediator.preheated.timeout, "600");
  call("POST", "/v1/preheats", {},
       R"({"reference":"small","nodes":"3","zone":"a","platform":"linux/arm64","timeout":"9"})");
  EXPECT_EQ(mediator.preheated.reference, "small");
  EXPECT_EQ(mediator.preheated.nodes, "3");
  EXPECT_EQ(mediator.preheated.zone, "a");
  EXPECT_EQ(mediator.preheated.timeout, "9");
  EXPECT_EQ(mediator.preheated.platform, "linux/arm64");
  const json refused = call("POST", "/v1/preheats", {}, R"({"reference":"small","nodes":"9"})");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(refused["error"]["message"], "9 nodes were asked for");
  for (const char* body : {"", "{}", R"({"reference":"a","nodes":3})"}) {
    call("POST", "/v1/preheats", {}, body);
    EXPECT_EQ(answer.status, 400) << body;
  }
  const json job = call("GET", "/v1/jobs/preheat-1");
  EXPECT_EQ(job["nodes"], json::parse(R"([
      {"endpoint":"10.0.0.3:7946","node_id":"3fa4","zone":"a","state":"done","bytes_total":10,
       "bytes_done":9,"seconds":1.5,"bytes_by_source":{"peer":9}},
      {"endpoint":"10.0.0.4:7946","node_id":"3fa5","zone":"b","state":"failed","error":"busy",
       "bytes_total":0,"bytes_done":0,"seconds":0.0,"bytes_by_source":{}}])"));
  EXPECT_EQ(job["left_out"],
            json::parse(R"([{"endpoint":"10.0.0.5:7946","zone":"b","why":"silent: refused"}])"));
  EXPECT_FALSE(call("GET", "/v1/jobs/7").contains("nodes")) << "of a pull";
}

TEST_F(ApiTest, tells_who_has_what_of_layers) {
  const json all = call("GET", "/v1/swarms");
  EXPECT_EQ(all["peers"], 7);
  EXPECT_EQ(all["asked"], 6);
  EXPECT_EQ(all["answered"], 5);
  EXPECT_EQ(all["layers"][0], json::parse(R"({"digest":"sha256:a","size":100,"bytes":50,"members":[
      {"endpoint":"10.0.0.3:7946","node_id":"3fa4","zone":"z","bytes":70,"wants":true,
       "sealed":false}],"chunks":3,"rarest_copies":1,"rarest_chunks":2,
       "received_per_second":1.5,"given_per_second":2.5,"bulk_peers":4})"));
  EXPECT_EQ(all["layers"][1]["bulk_peers"], json());
  EXPECT_EQ(call("GET", "/v1/swarms", {{"target", "app:v1"}})["layers"][1]["digest"], "app:v1");
  call("GET", "/v1/swarms", {{"target", "nothing"}});
  EXPECT_EQ(answer.status, 404);
}

TEST_F(ApiTest, mounts_are_listed_all_or_of_one_reference) {
  EXPECT_EQ(call("GET", "/v1/mounts")["mounts"][0]["options"], "nosuid");
  EXPECT_EQ(call("GET", "/v1/mounts", {{"reference", "r"}})["mounts"].size(), 1u);
  EXPECT_EQ(call("GET", "/v1/mounts", {{"reference", "other"}})["mounts"], json::array());
  call("GET", "/v1/mounts", {{"reference", "B@D"}});
  EXPECT_EQ(answer.status, 400);
}

TEST_F(ApiTest, a_job_can_be_given_up_and_a_bound_mount_be_confirmed) {
  call("DELETE", "/v1/jobs/j2", {});
  EXPECT_EQ(answer.status, 404);
  call("DELETE", "/v1/jobs/j1", {});
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(mediator.cancelled);
  call("PUT", "/v1/mounts", {{"directory", "/mnt/a"}});
  EXPECT_EQ(mediator.confirmed, "/mnt/a");
}

TEST_F(ApiTest, orders_that_make_no_sense_are_refused) {
  for (const char* body :
       {"", "[]", "{", R"({"directory":"/a"})", R"({"reference":"a"})",
        R"({"reference":"a","directory":"relative"})", R"({"reference":7,"directory":"/a"})",
        R"({"reference":"a","directory":"/a","pin":"yes"})"}) {
    const json refused = call("POST", "/v1/mounts", {}, body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(refused["error"]["fault"], "invalid") << body;
  }
  EXPECT_TRUE(mediator.last.reference.empty());
}

TEST_F(ApiTest, failures_become_status_and_message) {
  const json refused = call("POST", "/v1/pulls", {}, R"({"reference":"r/x"})");
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(refused["error"]["message"], "no password for r");
  call("DELETE", "/v1/mounts", {{"directory", "/other"}});
  EXPECT_EQ(answer.status, 404);
  call("DELETE", "/v1/mounts", {{"directory", "/d"}});
  EXPECT_EQ(answer.status, 200);
  call("GET", "/v2/");
  EXPECT_EQ(answer.status, 404);
}

TEST_F(ApiTest, an_exception_is_an_internal_error) {
  const json refused = call("GET", "/v1/explain");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(refused["error"]["message"], "boom");
}

TEST_F(ApiTest, a_wait_is_bounded_and_bytes_that_are_not_text_survive) {
  const json job = call("GET", "/v1/jobs/j9", {{"wait_ms", "99999999"}});
  EXPECT_EQ(job["id"], "j9");
  EXPECT_EQ(mediator.waited, std::chrono::seconds(60));
  EXPECT_EQ(job["error"]["fault"], "corrupt");
  call("GET", "/v1/jobs/j9", {{"wait_ms", "5x"}});
  EXPECT_EQ(answer.status, 400);
}

TEST_F(ApiTest, reports_carry_their_numbers) {
  const json status = call("GET", "/v1/status");
  EXPECT_EQ(status["cache"]["bytes"], 5);
  EXPECT_TRUE(status["cache"]["trouble"].is_null());
  EXPECT_EQ(status["bytes_by_source"]["registry"], 7);
  EXPECT_EQ(status["mounts"][0]["bytes_present"], 4);
  EXPECT_TRUE(status["cluster"].is_null());
  EXPECT_EQ(call("GET", "/v1/explain", {{"target", "x"}})["layers"].size(), 3u);
  EXPECT_EQ(call("POST", "/v1/evict")["freed"], 42);
  call("GET", "/metrics");
  EXPECT_EQ(answer.body, "swarmfs_up 1\n");
}

TEST_F(ApiTest, a_peer_says_what_was_measured_and_why_it_is_not_asked) {
  const json peers = call("GET", "/v1/peers")["peers"];
  ASSERT_EQ(peers.size(), 3u);
  EXPECT_EQ(peers[0], json::parse(R"({"endpoint":"10.0.0.3:7946","node_id":"3fa4","zone":"a",
      "state":"ok","bytes_given":1000,"in_flight":2,"first_byte_ms":1.5,"p95_ms":4.0,
      "bytes_per_second":1e8})"));
  EXPECT_EQ(peers[1], json::parse(R"({"endpoint":"[fd00::1]:7946","node_id":"","zone":"",
      "state":"silent","reason":"connection refused","silent_seconds":12.0,
      "bytes_given":0,"in_flight":0})"));
  EXPECT_EQ(peers[2]["state"], "banned");
  EXPECT_EQ(peers[2]["reason"], "wrong bytes");
}

TEST_F(ApiTest, a_layer_says_whom_it_trusts_and_who_else_has_it) {
  const json layers = call("GET", "/v1/explain", {{"target", "x"}})["layers"];
  EXPECT_EQ(layers[0]["trust"], "provisional");
  EXPECT_EQ(layers[1]["trust"], "sealed: hashed here");
  EXPECT_EQ(layers[2]["trust"], "sealed: claimed by node 3fa4");
  EXPECT_EQ(layers[0]["holders"], json::parse(R"([{"peer":"10.0.0.3:7946","bytes":100},
                                                  {"peer":"10.0.0.4:7946","bytes":7}])"));
  EXPECT_EQ(layers[1]["holders"], json::array());
}

TEST_F(ApiTest, the_status_of_a_node_with_peers_says_who_it_is) {
  mediator.clustered = true;
  EXPECT_EQ(call("GET", "/v1/status")["cluster"],
            json::parse(R"({"node_id":"3fa4","zone":"a","listen":["10.0.0.1:7946"],"peers":3,
                            "dht_nodes":12})"));
}

}  // namespace
}  // namespace swarmfs::control
