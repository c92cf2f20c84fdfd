# Purchases as lines of user, item, time, sorted by user and time; CATEGORIES: the item metadata of the same set.
# Prints user, item, category, items and categories before it (the latest first, at most 20), time and 1 for each purchase that has
# a past; the last one of each user goes to the file TEST, the others to TRAIN.
BEGIN {
    FS = OFS = "\t"
    while ((getline line < CATEGORIES) > 0) { split(line, cell, "\t"); category[cell[1]] = cell[2] }
}
function flush_user() { if (waiting != "") print waiting > TEST; waiting = "" }
$1 != user { flush_user(); user = $1; n = 0 }
{
    c = ($2 in category) ? category[$2] : "0"
    if (n) {
        if (waiting != "") print waiting > TRAIN
        items = categories = ""
        for (i = n; i > 0 && i > n - 20; i--) {
            items = items (items == "" ? "" : "|") past[i]
            categories = categories (categories == "" ? "" : "|") of[i]
        }
        waiting = user OFS $2 OFS c OFS items OFS categories OFS $3 OFS 1
    }
    past[++n] = $2
    of[n] = c
}
END { flush_user() }
