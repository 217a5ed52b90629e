class SearchController < ApplicationController
  def index
    @heading = helpers.tag.h1("Results for #{params[:q]}")
    @results = Page.search(params[:q])
  end
end
