// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/blob_stream.h"

#include <algorithm>

namespace swarmfs::mirror {

BlobStream::BlobStream(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> blob,
                       util::ByteRange range, Window window)
    : fetcher_(fetcher),
      blob_(std::move(blob)),
      end_(range.end()),
      window_(std::move(window)),
      asked_(range.offset) {
  fill();
}

void BlobStream::fill() {
  while (pending_.size() < std::min(ahead_, window_()) && asked_ < end_) {
    const util::ByteRange range{asked_, std::min(kPiece - asked_ % kPiece, end_ - asked_)};
    asked_ = range.end();
    pending_.push_back({range.offset, {}});
    pending_.back().operation =
        fetcher_.read(blob_, range, {.cls = chunk::Class::pull, .cause = "mirror", .awaited = true},
                      [this, at = range.offset](util::Outcome<util::SharedBytes> bytes) {
                        auto answers = answers_.lock();
                        answers->emplace(at, std::move(bytes));
                        answered_.notify_all();
                      });
  }
}

util::Outcome<util::SharedBytes> BlobStream::next(std::chrono::milliseconds patience) {
  fill();
  if (pending_.empty()) return util::SharedBytes();
  auto answers = answers_.lock();
  const uint64_t at = pending_.front().offset;
  const auto until = std::chrono::steady_clock::now() + patience;
  if (!answers.wait_until(answered_, until, [&] { return answers->contains(at); }))
    return util::Failure{util::Fault::timed_out, "the blob does not come"};
  auto bytes = std::move(answers->extract(at).mapped());
  answers.unlock();
  pending_.pop_front();
  ++ahead_;
  fill();
  return bytes;
}

}  // namespace swarmfs::mirror
