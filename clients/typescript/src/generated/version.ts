/** The hash of the supergraph that this client was made for. */
export const API_VERSION: string = "bVvnLXzNSwBrmBe3";
