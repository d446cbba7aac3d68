// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "daemon/catalog.h"
#include "registry/registry_client.h"

namespace swarmfs::daemon {

/// Inquiries answered by the registries themselves, within ten seconds each.
class RegistryInquiries final : public Inquiries {
 public:
  explicit RegistryInquiries(registry::RegistryClient& client) : client_(client) {}
  bool has_credentials(const oci::Reference& reference) override;
  util::Outcome<util::Done> ask_as_nobody(const oci::Reference& reference) override;
  util::Outcome<util::Bytes> config(const oci::Reference& reference,
                                    const oci::Descriptor& descriptor) override;

 private:
  registry::RegistryClient& client_;
};

}  // namespace swarmfs::daemon
