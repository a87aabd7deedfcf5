// Vectors of T (float or double) and the functions that programs need, to about 2 units in the last place.
// Coefficients are those of the series, so many that the rest is below the rounding of T.
typedef __INT64_TYPE__ I;
typedef __INT32_TYPE__ I4;
#if defined(__AVX512F__)
enum { BYTES = 64 };
#elif defined(__AVX__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif
#define INLINE static inline __attribute__((always_inline))

template <class T> struct Vec;
template <> struct Vec<float> {
  typedef float V __attribute__((vector_size(BYTES)));
  typedef I4 M __attribute__((vector_size(BYTES)));
  typedef signed char B __attribute__((vector_size(BYTES / 4)));
  enum { W = BYTES / 4, EXP = 7, LOG = 4, SIN = 4, COS = 5 };
  static constexpr I4 MANTISSA = 23, BIAS = 127, LIFTED = 25, SIGN = -0x7fffffff - 1;
  static constexpr float MAGIC = 0x1.8p23f, LN2_HIGH = 0x1.63p-1f, LN2_LOW = -0x1.bd0106p-13f;
  static constexpr float LOWEST = -104.0f, HIGHEST = 89.0f, LARGE = 20.0f, SATURATED = 10.0f;
  static constexpr float SMALLEST = 0x1p-126f, LIFT = 0x1p25f, ROOT = 0x1.6a09e6p-1f;
};
template <> struct Vec<double> {
  typedef double V __attribute__((vector_size(BYTES)));
  typedef I M __attribute__((vector_size(BYTES)));
  typedef signed char B __attribute__((vector_size(BYTES / 8)));
  enum { W = BYTES / 8, EXP = 13, LOG = 10, SIN = 8, COS = 8 };
  static constexpr I MANTISSA = 52, BIAS = 1023, LIFTED = 54, SIGN = -0x7fffffffffffffff - 1;
  static constexpr double MAGIC = 0x1.8p52, LN2_HIGH = 0x1.62e42fee00000p-1, LN2_LOW = 0x1.a39ef35793c76p-33;
  static constexpr double LOWEST = -746.0, HIGHEST = 710.0, LARGE = 40.0, SATURATED = 20.0;
  static constexpr double SMALLEST = 0x1p-1022, LIFT = 0x1p54, ROOT = 0x1.6a09e667f3bcdp-1;
};
#define TYPES typedef Vec<T> C; typedef typename C::V V; [[maybe_unused]] typedef typename C::M M

template <class T> INLINE typename Vec<T>::V get(const T* p) {
  typename Vec<T>::V v;
  __builtin_memcpy(&v, p, BYTES);
  return v;
}
template <class T> INLINE void put(T* p, typename Vec<T>::V v) { __builtin_memcpy(p, &v, BYTES); }
template <class T> INLINE typename Vec<T>::V every(T x) { return typename Vec<T>::V{} + x; }
template <class T> INLINE typename Vec<T>::V magnitude(typename Vec<T>::V x) {
  TYPES;
  return (V)((M)x & ~(M{} + C::SIGN));
}
template <class T> INLINE typename Vec<T>::V with_sign(typename Vec<T>::V size, typename Vec<T>::V sign) {
  TYPES;
  const M bit = M{} + C::SIGN;
  return (V)(((M)size & ~bit) | ((M)sign & bit));
}
template <class T> INLINE typename Vec<T>::V power_of_2(typename Vec<T>::M n) {
  TYPES;
  return (V)((n + C::BIAS) << C::MANTISSA);
}
// 1/n! at n, made when this is compiled.
struct Factorials {
  double inverse[20];
  constexpr Factorials() : inverse() {
    double n = 1;
    for (int i = 0; i < 20; i++, n *= i) inverse[i] = 1 / n;
  }
};
static constexpr Factorials FACTORIALS;

// e^x = 2^n e^r with |r| <= ln(2) / 2: gives e^r - 1.
template <class T> INLINE typename Vec<T>::V reduced_exp(typename Vec<T>::V x, typename Vec<T>::M& n) {
  TYPES;
  const V t = x * T(1.4426950408889634074) + C::MAGIC, k = t - C::MAGIC;
  n = (M)t - (M)every<T>(C::MAGIC);
  const V r = (x - k * C::LN2_HIGH) - k * C::LN2_LOW;
  V p = every<T>(T(FACTORIALS.inverse[C::EXP]));
#pragma GCC unroll 16
  for (int i = C::EXP - 1; i >= 2; i--) p = p * r + T(FACTORIALS.inverse[i]);
  return r + r * r * p;
}
template <class T> INLINE typename Vec<T>::V exp_of(typename Vec<T>::V x) {
  TYPES;
  V y = x < C::LOWEST ? every<T>(C::LOWEST) : x;
  y = y > C::HIGHEST ? every<T>(C::HIGHEST) : y;
  M n;
  const V p = reduced_exp<T>(y, n) + T(1);
  const M half = n >> 1;
  return p * power_of_2<T>(half) * power_of_2<T>(n - half);
}
// For |x| <= LARGE.
template <class T> INLINE typename Vec<T>::V bounded_expm1(typename Vec<T>::V x) {
  TYPES;
  M n;
  const V p = reduced_exp<T>(x, n), s = power_of_2<T>(n);
  return s * p + (s - T(1));
}
template <class T> INLINE typename Vec<T>::V expm1_of(typename Vec<T>::V x) {
  TYPES;
  V y = x < -C::LARGE ? every<T>(-C::LARGE) : x;
  y = bounded_expm1<T>(y > C::LARGE ? every<T>(C::LARGE) : y);
  y = x > C::LARGE ? exp_of<T>(x) : y;
  return x == T(0) ? x : y;
}
template <class T> INLINE typename Vec<T>::V tanh_of(typename Vec<T>::V x) {
  TYPES;
  const V size = magnitude<T>(x);
  const V e = bounded_expm1<T>(T(2) * (size > C::SATURATED ? every<T>(C::SATURATED) : size));
  return with_sign<T>(e / (e + T(2)), x);
}
template <class T> INLINE typename Vec<T>::V sigmoid_of(typename Vec<T>::V x) {
  TYPES;
  const V e = exp_of<T>(-magnitude<T>(x));
  return (x < T(0) ? e : every<T>(T(1))) / (T(1) + e);
}

// The logarithm of u, with the change c of it due to what u was rounded by.
template <class T> INLINE typename Vec<T>::V log_and(typename Vec<T>::V u, typename Vec<T>::V c) {
  TYPES;
  const M tiny = u < C::SMALLEST;
  const M bits = (M)(tiny ? u * C::LIFT : u);
  const M e = (bits - (M)every<T>(C::ROOT)) >> C::MANTISSA;
  const V f = (V)(bits - (e << C::MANTISSA)) - T(1);
  const V k = __builtin_convertvector(e - (tiny & C::LIFTED), V);
  const V s = f / (f + T(2)), z = s * s;
  V r = every<T>(T(2.0 / (2 * C::LOG + 1)));
#pragma GCC unroll 16
  for (int i = C::LOG - 1; i >= 1; i--) r = r * z + T(2.0 / (2 * i + 1));
  return k * C::LN2_HIGH + (f - (s * (f - z * r) - (k * C::LN2_LOW + c)));
}
template <class T> INLINE typename Vec<T>::V log_special(typename Vec<T>::V y, typename Vec<T>::V x, T zero) {
  TYPES;
  const V infinite = every<T>(T(__builtin_inf()));
  y = x < infinite ? y : x;
  y = x == zero ? -infinite : y;
  return x < zero ? every<T>(T(__builtin_nan(""))) : y;
}
template <class T> INLINE typename Vec<T>::V log_of(typename Vec<T>::V x) {
  TYPES;
  return log_special<T>(log_and<T>(x, V{}), x, T(0));
}
template <class T> INLINE typename Vec<T>::V log1p_of(typename Vec<T>::V x) {
  TYPES;
  const V u = T(1) + x, b = u - T(1), c = (T(1) - (u - b)) + (x - b);
  const V y = log_special<T>(log_and<T>(u, c / u), x, T(-1));
  return x == T(0) ? x : y;
}

// Sine or cosine of x, whose size is below LIMIT, by the nearest multiple n of pi/2; pi/2 is split so that n times each
// part but the last is exact.
constexpr double LIMIT = 1e6;
template <class T> INLINE typename Vec<T>::V wave(typename Vec<T>::V x, bool cosine) {
  TYPES;
  const V t = x * T(0.63661977236758134308) + C::MAGIC, k = t - C::MAGIC;
  const M n = (M)t - (M)every<T>(C::MAGIC) + (cosine ? 1 : 0);
  V r = (x - k * T(0x1.921fb544p0)) - k * T(0x1.0b4611a6p-34);
  r = r - k * T(0x1.3198a2e037073p-69);
  const V z = r * r;
  V s = every<T>(T(-FACTORIALS.inverse[2 * C::SIN + 1] * (C::SIN % 2 ? 1 : -1)));
#pragma GCC unroll 16
  for (int i = C::SIN - 1; i >= 1; i--) s = s * z + T(FACTORIALS.inverse[2 * i + 1] * (i % 2 ? -1 : 1));
  V c = every<T>(T(FACTORIALS.inverse[2 * C::COS] * (C::COS % 2 ? -1 : 1)));
#pragma GCC unroll 16
  for (int i = C::COS - 1; i >= 2; i--) c = c * z + T(FACTORIALS.inverse[2 * i] * (i % 2 ? -1 : 1));
  const V half = T(0.5) * z, w = T(1) - half;
  const V cosines = w + (((T(1) - w) - half) + z * z * c), sines = r + r * z * s;
  const V y = (n & 1) != 0 ? cosines : sines;
  return (n & 2) != 0 ? -y : y;
}
