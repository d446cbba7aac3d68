// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "oci/platform.h"

#include <sys/utsname.h>

namespace swarmfs::oci {

namespace {

std::string usual_variant(const Platform& platform) {
  if (!platform.variant.empty()) return platform.variant;
  if (platform.architecture == "arm64") return "v8";
  if (platform.architecture == "arm") return "v7";
  return "";
}

}  // namespace

Platform Platform::host() {
  utsname name{};
  ::uname(&name);
  const std::string machine = name.machine;
  if (machine == "x86_64") return {"linux", "amd64", ""};
  if (machine == "aarch64") return {"linux", "arm64", ""};
  if (machine.starts_with("arm"))
    return {"linux", "arm", machine.starts_with("armv6") ? "v6" : "v7"};
  return {"linux", machine, ""};
}

util::Outcome<Platform> Platform::parse(std::string_view text) {
  Platform made;
  const size_t one = text.find('/');
  if (one == std::string_view::npos || one == 0)
    return util::Failure{util::Fault::invalid,
                         "'" + std::string(text) + "' is no platform (like linux/arm64)"};
  const size_t two = text.find('/', one + 1);
  made.os = text.substr(0, one);
  made.architecture = text.substr(one + 1, two == std::string_view::npos ? two : two - one - 1);
  if (two != std::string_view::npos) made.variant = text.substr(two + 1);
  return made;
}

std::string Platform::to_string() const {
  return os + "/" + architecture + (variant.empty() ? "" : "/" + variant);
}

bool Platform::accepts(const Platform& other) const {
  return os == other.os && architecture == other.architecture &&
         (other.variant.empty() || usual_variant(*this) == usual_variant(other));
}

}  // namespace swarmfs::oci
