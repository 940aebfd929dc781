/** The gateway that served this page. */
export const API_URL = `${window.location.origin}/graphql`;
