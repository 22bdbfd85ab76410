"""The papers behind methods, as BibTeX."""

from collections.abc import Iterable, Iterator

# As objectives and methods name a paper: key, authors, title, where, year.
PAPERS: dict[str, tuple[str, str, str, str]] = {
    "Tzeng et al. 2017, CVPR": (
        "tzeng2017adversarial", "Tzeng, Eric and Hoffman, Judy and Saenko, Kate and Darrell, Trevor",
        "Adversarial Discriminative Domain Adaptation", "CVPR",
    ),
    "Ryu & Lee 2020, arXiv:2010.11478": (
        "ryu2020knowledge", "Ryu, Minho and Lee, Kichun",
        "Knowledge Distillation for BERT Unsupervised Domain Adaptation", "arXiv:2010.11478",
    ),
    "Caruana 1997, Machine Learning 28": (
        "caruana1997multitask", "Caruana, Rich", "Multitask Learning", "Machine Learning 28",
    ),
    "Long et al. 2018, NeurIPS": (
        "long2018conditional", "Long, Mingsheng and Cao, Zhangjie and Wang, Jianmin and Jordan, Michael I.",
        "Conditional Adversarial Domain Adaptation", "NeurIPS",
    ),
    "Zellinger et al. 2017, ICLR": (
        "zellinger2017central", "Zellinger, Werner and others",
        "Central Moment Discrepancy (CMD) for Domain-Invariant Representation Learning", "ICLR",
    ),
    "Tarvainen & Valpola 2017, NeurIPS": (
        "tarvainen2017mean", "Tarvainen, Antti and Valpola, Harri",
        "Mean Teachers Are Better Role Models: Weight-Averaged Consistency Targets Improve "
        "Semi-Supervised Deep Learning Results", "NeurIPS",
    ),
    "Xie et al. 2020, NeurIPS": (
        "xie2020unsupervised", "Xie, Qizhe and Dai, Zihang and Hovy, Eduard and Luong, Thang and Le, Quoc",
        "Unsupervised Data Augmentation for Consistency Training", "NeurIPS",
    ),
    "Sun & Saenko 2016, ECCV workshops": (
        "sun2016deep", "Sun, Baochen and Saenko, Kate",
        "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", "ECCV Workshops",
    ),
    "Chen et al. 2022, CVPR": (
        "chen2022reusing", "Chen, Lin and others",
        "Reusing the Task-Specific Classifier as a Discriminator: Discriminator-Free Adversarial "
        "Domain Adaptation", "CVPR",
    ),
    "Ganin et al. 2016, JMLR 17(59)": (
        "ganin2016domain", "Ganin, Yaroslav and others",
        "Domain-Adversarial Training of Neural Networks", "Journal of Machine Learning Research 17(59)",
    ),
    "Hinton et al. 2015, arXiv:1503.02531": (
        "hinton2015distilling", "Hinton, Geoffrey and Vinyals, Oriol and Dean, Jeff",
        "Distilling the Knowledge in a Neural Network", "arXiv:1503.02531",
    ),
    "Du et al. 2020, ACL": (
        "du2020adversarial", "Du, Chunning and others",
        "Adversarial and Domain-Aware BERT for Cross-Domain Sentiment Analysis", "ACL",
    ),
    "Grandvalet & Bengio 2004, NeurIPS": (
        "grandvalet2004semi", "Grandvalet, Yves and Bengio, Yoshua",
        "Semi-Supervised Learning by Entropy Minimization", "NeurIPS",
    ),
    "Miyato et al. 2017, ICLR": (
        "miyato2017adversarial", "Miyato, Takeru and Dai, Andrew M. and Goodfellow, Ian",
        "Adversarial Training Methods for Semi-Supervised Text Classification", "ICLR",
    ),
    "Krause et al. 2010, NeurIPS": (
        "krause2010discriminative", "Krause, Andreas and Perona, Pietro and Gomes, Ryan",
        "Discriminative Clustering by Regularized Information Maximization", "NeurIPS",
    ),
    "Liang et al. 2020, ICML": (
        "liang2020do", "Liang, Jian and Hu, Dapeng and Feng, Jiashi",
        "Do We Really Need to Access the Source Data? Source Hypothesis Transfer for Unsupervised "
        "Domain Adaptation", "ICML",
    ),
    "Tachet des Combes et al. 2020, NeurIPS": (
        "tachet2020domain", "Tachet des Combes, Remi and Zhao, Han and Wang, Yu-Xiang and Gordon, Geoff",
        "Domain Adaptation with Conditional Distribution Matching and Generalized Label Shift",
        "NeurIPS",
    ),
    "Zhu et al. 2020, IEEE TNNLS": (
        "zhu2020deep", "Zhu, Yongchun and others",
        "Deep Subdomain Adaptation Network for Image Classification",
        "IEEE Transactions on Neural Networks and Learning Systems",
    ),
    "Jin et al. 2020, ECCV": (
        "jin2020minimum", "Jin, Ying and Wang, Ximei and Long, Mingsheng and Wang, Jianmin",
        "Minimum Class Confusion for Versatile Domain Adaptation", "ECCV",
    ),
    "Zhang et al. 2019, ICML": (
        "zhang2019bridging", "Zhang, Yuchen and Liu, Tianle and Long, Mingsheng and Jordan, Michael I.",
        "Bridging Theory and Algorithm for Domain Adaptation", "ICML",
    ),
    "Gururangan et al. 2020, ACL": (
        "gururangan2020dont", "Gururangan, Suchin and others",
        "Don't Stop Pretraining: Adapt Language Models to Domains and Tasks", "ACL",
    ),
    "Karouzos et al. 2021, NAACL": (
        "karouzos2021udalm", "Karouzos, Constantinos and Paraskevopoulos, Georgios and "
        "Potamianos, Alexandros",
        "UDALM: Unsupervised Domain Adaptation through Language Modeling", "NAACL",
    ),
    "Gretton et al. 2012, JMLR 13": (
        "gretton2012kernel", "Gretton, Arthur and others", "A Kernel Two-Sample Test",
        "Journal of Machine Learning Research 13",
    ),
    "Long et al. 2015, ICML": (
        "long2015learning", "Long, Mingsheng and Cao, Yue and Wang, Jianmin and Jordan, Michael",
        "Learning Transferable Features with Deep Adaptation Networks", "ICML",
    ),
    "Madry et al. 2018, ICLR": (
        "madry2018towards", "Madry, Aleksander and others",
        "Towards Deep Learning Models Resistant to Adversarial Attacks", "ICLR",
    ),
    "Zhang et al. 2021, NeurIPS": (
        "zhang2021flexmatch", "Zhang, Bowen and others",
        "FlexMatch: Boosting Semi-Supervised Learning with Curriculum Pseudo Labeling", "NeurIPS",
    ),
    "Chen et al. 2023, ICLR": (
        "chen2023softmatch", "Chen, Hao and others",
        "SoftMatch: Addressing the Quantity-Quality Tradeoff in Semi-Supervised Learning", "ICLR",
    ),
    "Miyato et al. 2018, IEEE TPAMI 41(8)": (
        "miyato2018virtual", "Miyato, Takeru and Maeda, Shin-ichi and Koyama, Masanori and Ishii, Shin",
        "Virtual Adversarial Training: A Regularization Method for Supervised and Semi-Supervised "
        "Learning", "IEEE Transactions on Pattern Analysis and Machine Intelligence 41(8)",
    ),
    "Shen et al. 2018, AAAI": (
        "shen2018wasserstein", "Shen, Jian and Qu, Yanru and Zhang, Weinan and Yu, Yong",
        "Wasserstein Distance Guided Representation Learning for Domain Adaptation", "AAAI",
    ),
    "Furlanello et al. 2018, ICML": (
        "furlanello2018born", "Furlanello, Tommaso and others", "Born-Again Neural Networks", "ICML",
    ),
    "Lee 2013, ICML workshop": (
        "lee2013pseudo", "Lee, Dong-Hyun",
        "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural "
        "Networks", "ICML Workshop on Challenges in Representation Learning",
    ),
    "Sun et al. 2016, AAAI": (
        "sun2016return", "Sun, Baochen and Feng, Jiashi and Saenko, Kate",
        "Return of Frustratingly Easy Domain Adaptation", "AAAI",
    ),
    "Garg et al. 2022, ICLR, arXiv:2201.04234": (
        "garg2022leveraging", "Garg, Saurabh and others",
        "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance", "ICLR",
    ),
    "Ben-David et al. 2007, NeurIPS": (
        "bendavid2007analysis", "Ben-David, Shai and Blitzer, John and Crammer, Koby and Pereira, Fernando",
        "Analysis of Representations for Domain Adaptation", "NeurIPS",
    ),
    "Musgrave et al. 2022, arXiv:2208.07360": (
        "musgrave2022three", "Musgrave, Kevin and Belongie, Serge and Lim, Ser-Nam",
        "Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation",
        "arXiv:2208.07360",
    ),
}  # fmt: skip


def bibtex(cited: Iterable[str]) -> str:
    """Entries of the papers, each as a method cites one or several, parted by `; `."""
    return "\n\n".join(dict.fromkeys(_entries(cited)))


def _entries(cited: Iterable[str]) -> Iterator[str]:
    for text in cited:
        for paper in text.split("; "):
            if paper in PAPERS:
                key, authors, title, place = PAPERS[paper]
                year = next(word[:4] for word in paper.split() if word[:4].isdigit())
                journal = place.startswith(("Journal", "IEEE", "Machine", "arXiv"))
                kind, where = ("article", "journal") if journal else ("inproceedings", "booktitle")
                yield (
                    f"@{kind}{{{key},\n  author = {{{authors}}},\n  title = {{{{{title}}}}},\n"
                    f"  {where} = {{{place}}},\n  year = {{{year}}}\n}}"
                )
