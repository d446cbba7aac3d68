// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/registry_source.h"

namespace swarmfs::registry {

std::unique_ptr<chunk::Transfer> RegistrySource::fetch(const chunk::LayerRef& layer,
                                                       util::ByteRange range,
                                                       const chunk::FetchContext& context,
                                                       OnData on_data, OnDone on_done) {
  GetOrder order{layer.origins,
                 "blobs/" + layer.digest.to_string(),
                 "",
                 range,
                 context.cls,
                 context.deadline,
                 std::move(on_data),
                 {},
                 false};
  order.on_done = [done = std::move(on_done)](util::Outcome<http::Response> outcome) {
    if (outcome)
      done(util::Done{});
    else
      done(outcome.failure());
  };
  return client_.get(std::move(order));
}

}  // namespace swarmfs::registry
