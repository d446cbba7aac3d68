// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <nlohmann/json.hpp>
#include <string>

/// Answers of the control API as text for a human. Pure.
namespace swarmfs::cli {

std::string status_text(const nlohmann::json& status);
/// Of GET /v1/swarms. Not verbose: the first layers, which are those to care about, without their
/// members. Empty where there is no swarm. In its place `error`: why it is not known.
std::string swarms_text(const nlohmann::json& swarms, bool verbose);
std::string mounts_text(const nlohmann::json& mounts);
std::string layers_text(const nlohmann::json& layers);
std::string peers_text(const nlohmann::json& peers);
std::string preheat_text(const std::string& reference, const nlohmann::json& job);
std::string explain_text(const nlohmann::json& report);

}  // namespace swarmfs::cli
