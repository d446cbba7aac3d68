// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>
#include <string>

#include "containerd/runtime.h"

namespace swarmfs::containerd {

/// containerd's API on its unix socket, by gRPC.
class GrpcRuntime final : public Runtime {
 public:
  /// Says nothing to it yet. `socket`: an absolute path.
  explicit GrpcRuntime(const std::string& socket);
  ~GrpcRuntime() override;

  void connect() override;
  util::Outcome<std::filesystem::path> content_root() override;
  util::Outcome<std::vector<std::string>> namespaces() override;
  util::Outcome<std::vector<NamedImage>> images(const std::string& name_space) override;
  util::Outcome<NamedImage> image(const ImageEvent& event) override;
  util::Outcome<Labels> labels(const std::string& name_space, const util::Digest& blob) override;
  util::Outcome<std::optional<ImageEvent>> next_event(util::SteadyTime until) override;
  void interrupt() override;

 private:
  struct Connection;
  struct Calls;
  const std::string socket_;
  const std::unique_ptr<Calls> calls_;
  std::unique_ptr<Connection> connection_;  ///< of the last connect()
};

}  // namespace swarmfs::containerd
