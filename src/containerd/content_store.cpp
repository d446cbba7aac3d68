// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "containerd/content_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>

namespace swarmfs::containerd {

using util::Failure;
using util::Fault;

util::Outcome<util::Bytes> ContentStore::read(const util::Digest& blob) const {
  const auto file = path(blob);
  const util::UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat facts {};
  if (!fd || ::fstat(fd.get(), &facts))
    return Failure{Fault::not_found, file.string() + ": " + std::strerror(errno)};
  const Failure lie{Fault::corrupt, file.string() + " is not what its name says"};
  const auto size = static_cast<uint64_t>(facts.st_size);
  if (!S_ISREG(facts.st_mode) || size > kLongest) return lie;
  util::Bytes bytes(size);
  for (size_t done = 0; done < size;) {
    const ssize_t got = ::read(fd.get(), bytes.data() + done, size - done);
    if (got <= 0) return lie;
    done += static_cast<size_t>(got);
  }
  if (util::Sha256::of(bytes) != blob) return lie;
  return bytes;
}

bool ContentStore::has(const util::Digest& blob, uint64_t size) const {
  struct stat facts {};
  return ::lstat(path(blob).c_str(), &facts) == 0 && S_ISREG(facts.st_mode) &&
         static_cast<uint64_t>(facts.st_size) == size;
}

}  // namespace swarmfs::containerd
