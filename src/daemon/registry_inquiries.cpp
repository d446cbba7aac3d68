// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/registry_inquiries.h"

namespace swarmfs::daemon {

namespace {

util::SteadyTime soon() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(10);
}

}  // namespace

bool RegistryInquiries::has_credentials(const oci::Reference& reference) {
  return client_.has_credentials(reference);
}

util::Outcome<util::Done> RegistryInquiries::ask_as_nobody(const oci::Reference& reference) {
  const auto manifest = client_.manifest(reference, soon(), true);
  if (!manifest) return manifest.failure();
  return util::Done{};
}

util::Outcome<util::Bytes> RegistryInquiries::config(const oci::Reference& reference,
                                                     const oci::Descriptor& descriptor) {
  return client_.blob(reference, descriptor, soon());
}

}  // namespace swarmfs::daemon
