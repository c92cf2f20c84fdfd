"""Made-up ratings that can be learned, as lines `user::movie::stars::time`: generate.py RATINGS [COUNT [SEED]]."""

import sys

import numpy as np

USERS, MOVIES, FACTORS = 3000, 1200, 6


def main() -> None:
    path = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    rng = np.random.default_rng(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    users = rng.integers(USERS, size=count)
    movies = np.minimum(rng.zipf(1.3, size=count) - 1, rng.integers(MOVIES, size=count)) % MOVIES
    tastes, genres = rng.normal(0, 0.5, (USERS, FACTORS)), rng.normal(0, 0.5, (MOVIES, FACTORS))
    score = 3.5 + rng.normal(0, 0.4, USERS)[users] + rng.normal(0, 0.5, MOVIES)[movies]
    score += (tastes[users] * genres[movies]).sum(axis=1) + rng.normal(0, 0.5, count)
    stars = np.clip(np.rint(score), 1, 5).astype(int)
    times = 978_300_000 + np.arange(count) * 60
    with open(path, "w", encoding="ascii") as f:
        f.writelines(f"{u + 1}::{m + 1}::{s}::{t}\n" for u, m, s, t in zip(users, movies, stars, times))


if __name__ == "__main__":
    main()
