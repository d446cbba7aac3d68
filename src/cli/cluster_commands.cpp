// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cluster/authority.h"
#include "cluster/token.h"
#include "util/file.h"

namespace swarmfs::cli {

using nlohmann::json;

namespace {

json describe(const cluster::Token& token, bool issues) {
  const cluster::Authority authority(token);
  return {{"authority", authority.certificate().common_name()},
          {"fingerprint", authority.certificate().fingerprint().to_string()},
          {"issues", issues}};
}

void print_json(const json& answer) {
  std::puts(answer.dump(2).c_str());
}

}  // namespace

void cluster_init(const Options& options) {
  const auto token = cluster::Token::make();
  const std::string line = token.text() + "\n";
  if (options.token_file.empty()) {
    if (options.json) return print_json({{"token", token.text()}});
    std::fputs(line.c_str(), stdout);
    return;
  }
  const auto file = std::filesystem::absolute(options.token_file);
  if (std::filesystem::exists(file))
    throw util::Error(
        fmt::format("{} exists (to rotate, append a token: swarmfs cluster init >> {})",
                    file.string(), file.string()));
  util::write_file_durably(file, util::as_bytes(line), 0600);
  if (options.json) return print_json({{"file", file.string()}});
  fmt::print("{} holds the cluster's token: copy it to every node, and set [cluster] token_file\n",
             file.string());
}

void cluster_show(const Options& options) {
  const auto tokens = cluster::read_tokens(options.token_file);
  json described = json::array();
  for (const auto& token : tokens) described.push_back(describe(token, described.empty()));
  if (options.json) return print_json({{"tokens", described}});
  for (const auto& token : described)
    fmt::print("{}  CA {}  {}\n", token["authority"].get<std::string>(),
               token["fingerprint"].get<std::string>(),
               token["issues"].get<bool>() ? "issues, trusted" : "trusted");
}

}  // namespace swarmfs::cli
