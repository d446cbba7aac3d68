// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cluster/claim.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace swarmfs::cluster {

using nlohmann::json;
using util::Failure, util::Fault;

namespace {

constexpr size_t kLongest = 32 << 10;
// 9999-12-31: later times mean nothing to X.509.
constexpr int64_t kLatest = 253'402'300'799;

/// The members of a claim's JSON; one that is missing or of another kind is remembered.
class Members {
 public:
  explicit Members(const json& object) : object_(object) {}

  std::string text(const char* name) {
    const auto found = object_.find(name);
    if (found != object_.end() && found->is_string()) return found->get<std::string>();
    return miss(name), "";
  }
  uint64_t number(const char* name) {
    const auto found = object_.find(name);
    if (found != object_.end() && found->is_number_unsigned()) return found->get<uint64_t>();
    return miss(name), 0;
  }
  util::Digest digest(const char* name) {
    const auto found = util::Digest::parse(text(name));
    return found ? *found : (miss(name), util::Digest());
  }
  void miss(const std::string& name) {
    if (missing_.empty()) missing_ = name;
  }
  [[nodiscard]] const std::string& missing() const { return missing_; }

 private:
  const json& object_;
  std::string missing_;
};

}  // namespace

std::string Claim::signed_text() const {
  return fmt::format("swarmfs-claim-1\nlayer {}\nsize {}\nroot {}\nindex {}\nsigned_at {}\n",
                     layer.to_string(), size, root.to_string(), index.to_string(),
                     signed_at.time_since_epoch().count());
}

std::string Claim::to_json() const {
  return json{{"version", 1},
              {"layer", layer.to_string()},
              {"size", size},
              {"root", root.to_string()},
              {"index", index.to_string()},
              {"signed_at", signed_at.time_since_epoch().count()},
              {"certificate", certificate_pem},
              {"signature", util::to_base64(signature)}}
      .dump();
}

util::Outcome<Claim> Claim::parse(std::string_view text) {
  if (text.size() > kLongest) return Failure{Fault::invalid, "a claim of more than 32 KiB"};
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return Failure{Fault::invalid, "not a claim: no JSON object"};
  Members members(object);
  if (members.number("version") != 1) members.miss("version");
  Claim claim;
  claim.layer = members.digest("layer");
  claim.size = members.number("size");
  claim.root = members.digest("root");
  claim.index = members.digest("index");
  const uint64_t seconds = members.number("signed_at");
  if (seconds > kLatest) members.miss("signed_at");
  claim.certificate_pem = members.text("certificate");
  const auto signature = util::from_base64(members.text("signature"));
  if (!signature || signature->empty()) members.miss("signature");
  if (!members.missing().empty())
    return Failure{Fault::invalid, "not a claim: no good " + members.missing()};
  claim.signed_at = WallTime(std::chrono::seconds(seconds));
  claim.signature = *signature;
  return claim;
}

Claim make_claim(const Identity& identity, const util::Digest& layer, uint64_t size,
                 const util::Digest& root, const util::Digest& index, WallTime now) {
  Claim claim{layer, size, root, index, now, identity.certificate_pem(), ""};
  claim.signature = identity.sign(util::as_bytes(claim.signed_text()));
  return claim;
}

util::Outcome<std::string> verify_claim(const Claim& claim, const Identity& ours, WallTime now) {
  const auto denied = [](const std::string& why) {
    return Failure{Fault::denied, "a claim that no member signed: " + why};
  };
  const auto chain = Certificate::parse_all(claim.certificate_pem);
  if (!chain) return denied(chain.failure().message);
  if (claim.signed_at > now + Identity::kClockSkew) return denied("it was signed in the future");
  const auto root = verify_chain(*chain, ours.roots(), claim.signed_at);
  if (!root) return denied(root.failure().message);
  const Certificate& claimant = chain->front();
  const std::string id = claimant.node_id();
  if (id.empty()) return denied("its certificate names no node");
  if (ours.names_are_key_ids() && id != key_id(claimant.public_key()))
    return denied("its certificate names another node");
  if (!claimant.verifies(util::as_bytes(claim.signed_text()), claim.signature))
    return Failure{Fault::corrupt, "a claim of node " + id + " whose signature is wrong"};
  return id;
}

}  // namespace swarmfs::cluster
