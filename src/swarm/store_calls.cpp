// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/store_calls.h"

namespace swarmfs::swarm {

struct StoreCalls::Call {
  Call(lt::io_context& network, std::shared_ptr<StoreCalls> its_calls)
      : guard(boost::asio::make_work_guard(network)), calls(std::move(its_calls)) {
    ++*calls->count_.lock();
  }
  ~Call() {
    guard.reset();  // the last use of the network
    --*calls->count_.lock();
    calls->none_.notify_all();
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  boost::asio::executor_work_guard<lt::io_context::executor_type> guard;
  const std::shared_ptr<StoreCalls> calls;
};

std::shared_ptr<void> StoreCalls::begin(lt::io_context& network) {
  return std::make_shared<Call>(network, shared_from_this());
}

void StoreCalls::wait() {
  auto count = count_.lock();
  count.wait(none_, [&] { return *count == 0; });
}

}  // namespace swarmfs::swarm
