// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fstream>

#include "front_fixture.h"

namespace swarmfs::fuse {
namespace {

class ForgettingTest : public FrontTest {
 protected:
  void SetUp() override { begin(/*sealed=*/false); }
  std::string read_page(size_t offset) {
    std::ifstream file(data_file(), std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    std::string page(kPage, '\0');
    file.read(page.data(), static_cast<std::streamsize>(page.size()));
    return page;
  }
};

TEST_F(ForgettingTest, pages_of_bytes_that_were_wrong_do_not_stay) {
  if (IsSkipped()) return;
  mount();
  source_.keep_silent(false);
  const size_t in_layer = layer_.find(data_.substr(0, 64)) + 7;
  std::string wrong = data_.substr(0, kPage);
  wrong[7] = static_cast<char>(~wrong[7]);
  source_.flip(in_layer);
  ASSERT_TRUE(read_page(0) == wrong) << "nobody could know yet";
  const auto pull = images_->pull(kImage, oci::Platform::host())->wait(std::chrono::seconds(60));
  ASSERT_EQ(pull.state, image::Job::State::failed);
  EXPECT_EQ(pull.error->fault, util::Fault::corrupt);
  source_.flip(in_layer);
  EXPECT_TRUE(read_page(0) == data_.substr(0, kPage)) << "the kernel keeps what was wrong";
}

}  // namespace
}  // namespace swarmfs::fuse
