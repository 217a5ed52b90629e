// Orders of a shop.
#include <vector>
#include "stock.hpp"
#define LIMIT 3

namespace shop::orders {

template <typename T>
class Order final : public Base, private Keeps<T> {
 public:
  explicit Order(std::vector<T> items) : items_(std::move(items)) {}
  virtual ~Order() = default;
  bool operator<(const Order& other) const { return total() < other.total(); }
  int total() const;
  static int count;
  enum class Size { Small, Big };
  struct Line { int pieces = 0; };

 private:
  std::vector<T> items_;
};

template <typename T>
int Order<T>::total() const {
  int sum = 0;
  for (const auto& one : items_) {
    if (one.ok() && one.count > 0) sum += one.count;
  }
  auto twice = [](int x) { return x ? 2 * x : 0; };
  return twice(sum);
}

using Name = std::string;
typedef unsigned long size_type;
constexpr int kLimit = 3;
union Value { int i; float f; };
concept Small = sizeof(int) < 8;

}  // namespace shop::orders

extern "C" {
int start(int argc, char** argv) { try { return 0; } catch (...) { return 1; } }
}

static int& reference_to(int& x) { return x; }
int main() { return 0; }
