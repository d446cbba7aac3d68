// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "containerd/choice.h"

#include <algorithm>

namespace swarmfs::containerd {

namespace {

constexpr std::string_view kSource = "containerd.io/distribution.source.";

/// "127.0.0.1" of "127.0.0.1:5000", "::1" of "[::1]:5000".
std::string without_port(const std::string& registry) {
  if (registry.starts_with('[')) return registry.substr(1, registry.find(']') - 1);
  return registry.substr(0, registry.find(':'));
}

}  // namespace

bool came_from(const Labels& labels, const chunk::Origin& origin) {
  const auto label = labels.find(std::string(kSource) + without_port(origin.registry));
  if (label == labels.end() || origin.repository.empty()) return false;
  return ("," + label->second + ",").find("," + origin.repository + ",") != std::string::npos;
}

bool is_elsewhere_too(const Labels& labels, const chunk::Origin& origin) {
  const std::string here = std::string(kSource) + without_port(origin.registry);
  return std::any_of(labels.begin(), labels.end(), [&](const auto& label) {
    return label.first.starts_with(kSource) && label.first != here;
  });
}

std::optional<oci::Reference> reference_of(const std::string& name, const util::Digest& manifest) {
  auto parsed = oci::Reference::parse(name);
  if (!parsed) return std::nullopt;
  parsed->tag.clear();
  parsed->digest = manifest;
  return std::move(*parsed);
}

}  // namespace swarmfs::containerd
