"""Made-up ratings that can be learned, as lines `user::movie::stars::time`: generate.py RATINGS [COUNT [SEED]]."""

import random
import sys

USERS, MOVIES, FACTORS = 3000, 1200, 6


def main() -> None:
    path = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    users = [(rng.gauss(0, 0.4), [rng.gauss(0, 0.5) for _ in range(FACTORS)]) for _ in range(USERS)]
    movies = [(rng.gauss(0, 0.5), [rng.gauss(0, 0.5) for _ in range(FACTORS)]) for _ in range(MOVIES)]
    with open(path, "w", encoding="ascii") as f:
        for i in range(count):
            user, movie = rng.randrange(USERS), int(MOVIES * rng.random() ** 3)
            (kindness, taste), (fame, genre) = users[user], movies[movie]
            score = 3.5 + kindness + fame + sum(a * b for a, b in zip(taste, genre)) + rng.gauss(0, 0.5)
            stars = min(5, max(1, round(score)))
            f.write(f"{user + 1}::{movie + 1}::{stars}::{978_300_000 + i * 60}\n")


if __name__ == "__main__":
    main()
