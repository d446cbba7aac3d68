// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>

#include "chunk/store.h"

namespace swarmfs::support {

/// Another store, which tells when a layer's bytes are about to be dropped.
class DroppingStore final : public chunk::Store {
 public:
  explicit DroppingStore(chunk::Store& store) : store_(store) {}

  std::shared_ptr<chunk::StoredLayer> open(const util::Digest& digest, uint64_t size,
                                           chunk::Form form) override {
    return std::make_shared<Stored>(store_.open(digest, size, form), *this);
  }
  std::optional<uint64_t> size_of(const util::Digest& digest) const override {
    return store_.size_of(digest);
  }
  std::vector<util::Digest> layers() const override { return store_.layers(); }
  chunk::StoreUsage usage() const override { return store_.usage(); }
  bool may_hold(uint64_t bytes, chunk::Class cls) const override {
    return store_.may_hold(bytes, cls);
  }
  uint64_t evict_all() override { return store_.evict_all(); }
  void save_document(const std::string& name, util::ByteView content) override {
    store_.save_document(name, content);
  }
  std::optional<util::Bytes> load_document(const std::string& name) const override {
    return store_.load_document(name);
  }
  void remove_document(const std::string& name) override { store_.remove_document(name); }
  std::vector<std::string> documents(const std::string& prefix) const override {
    return store_.documents(prefix);
  }

  std::function<void()> on_discard = [] {};

 private:
  class Stored final : public chunk::StoredLayer {
   public:
    Stored(std::shared_ptr<chunk::StoredLayer> layer, DroppingStore& store)
        : layer_(std::move(layer)), store_(store) {}
    const util::Digest& digest() const override { return layer_->digest(); }
    uint64_t size() const override { return layer_->size(); }
    bool has(chunk::BlockRange blocks) const override { return layer_->has(blocks); }
    std::vector<chunk::BlockRange> missing(chunk::BlockRange blocks) const override {
      return layer_->missing(blocks);
    }
    uint64_t bytes_present() const override { return layer_->bytes_present(); }
    bool try_read_now(util::ByteRange range, std::byte* into) override {
      return layer_->try_read_now(range, into);
    }
    void read(util::ByteRange range, OnRead on_read) override {
      layer_->read(range, std::move(on_read));
    }
    void write(chunk::BlockIndex first, util::SharedBytes bytes, chunk::Class cls,
               OnWritten on_written) override {
      layer_->write(first, std::move(bytes), cls, std::move(on_written));
    }
    void trust(std::shared_ptr<const chunk::HashTree> tree) override {
      layer_->trust(std::move(tree));
    }
    void suspect(chunk::BlockRange blocks) override { layer_->suspect(blocks); }
    bool verified() const override { return layer_->verified(); }
    void mark_verified() override { layer_->mark_verified(); }
    void discard() override {
      store_.on_discard();
      layer_->discard();
    }
    void set_pinned(bool pinned) override { layer_->set_pinned(pinned); }

   private:
    const std::shared_ptr<chunk::StoredLayer> layer_;
    DroppingStore& store_;
  };
  chunk::Store& store_;
};

}  // namespace swarmfs::support
